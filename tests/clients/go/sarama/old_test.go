//go:build old

package sarama

import (
	"time"

	"github.com/IBM/sarama"
)

// Without zstd: it is sent by Produce 3, and Kafka takes it from Produce 7 on (KIP-110).
var codecs = []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy,
	sarama.CompressionLZ4}

// Without a retention it commits by OffsetCommit 1, which Kafka 4 dropped (KIP-896).
func tune(config *sarama.Config) { config.Consumer.Offsets.Retention = time.Hour }

var strategies = map[string]func(*sarama.Config){
	"range":      func(c *sarama.Config) { c.Consumer.Group.Rebalance.Strategy = sarama.BalanceStrategyRange },
	"roundrobin": func(c *sarama.Config) { c.Consumer.Group.Rebalance.Strategy = sarama.BalanceStrategyRoundRobin },
}
