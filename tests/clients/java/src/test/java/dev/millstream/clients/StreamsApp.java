package dev.millstream.clients;

import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.state.KeyValueStore;

/** A word count and a windowed join, exactly once; StreamsTest runs and kills it. */
final class StreamsApp {
    private StreamsApp() {}

    public static void main(String[] arguments) throws Exception {
        String id = arguments[0];
        Properties config = new Properties();
        config.put("bootstrap.servers", Broker.bootstrap());
        config.put("application.id", id);
        config.put("state.dir", arguments[1]);
        config.put("processing.guarantee", "exactly_once_v2");
        config.put("commit.interval.ms", 100);
        config.put("replication.factor", 1);
        // Every update is seen downstream, so that a lost or doubled one shows.
        config.put("statestore.cache.max.bytes", 0);
        // A killed member is out after that, the smallest that a broker takes by default.
        config.put("consumer.session.timeout.ms", 6_000);
        config.put("consumer.heartbeat.interval.ms", 500);
        config.put("consumer.auto.offset.reset", "earliest");
        config.put("default.key.serde", Serdes.StringSerde.class);
        config.put("default.value.serde", Serdes.StringSerde.class);

        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(id + "-lines")
                .flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
                .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts"))
                .toStream()
                .mapValues(count -> count.toString())
                .to(id + "-counts", Produced.with(Serdes.String(), Serdes.String()));
        KStream<String, String> left = builder.stream(id + "-left");
        left.join(
                        builder.<String, String>stream(id + "-right"),
                        (one, other) -> one + "+" + other,
                        JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofMinutes(5)),
                        StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()))
                .to(id + "-joined");

        KafkaStreams streams = new KafkaStreams(builder.build(), config);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
    }
}
