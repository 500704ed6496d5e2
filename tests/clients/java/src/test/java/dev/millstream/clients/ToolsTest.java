package dev.millstream.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The programs with which Kafka's own system tests drive a cluster. */
class ToolsTest {
    private static final int PARTITIONS = 3;
    private static final int PER_PARTITION = 1500;

    private static Child copier(String input, String output, String run, int partition) throws Exception {
        return Child.start(
                "org.apache.kafka.tools.TransactionalMessageCopier",
                "--broker-list", Broker.bootstrap(), "--input-topic", input, "--output-topic", output,
                "--input-partition", partition, "--transactional-id", run + "-" + partition,
                "--consumer-group", run + "-group-" + partition, "--transaction-size", 50, "--enable-random-aborts");
    }

    @Test
    @Timeout(value = 180, unit = TimeUnit.SECONDS)
    void transactional_copiers_that_abort_at_random_and_are_killed_copy_each_record_exactly_once() throws Exception {
        String input = Broker.topic("copier-in", PARTITIONS);
        String output = Broker.topic("copier-out", PARTITIONS);
        String run = Broker.name("copier");
        try (KafkaProducer<String, String> producer = Broker.producer()) {
            for (int i = 0; i < PARTITIONS * PER_PARTITION; i++) {
                producer.send(new ProducerRecord<>(input, i % PARTITIONS, "k" + i, "v" + i));
            }
        }
        List<Child> copiers = new ArrayList<>();
        try {
            for (int partition = 0; partition < PARTITIONS; partition++) {
                copiers.add(copier(input, output, run, partition));
            }
            for (int partition = 0; partition < PARTITIONS; partition++) {
                Child copier = copiers.get(partition);
                // Killed when it has told of progress for the first time, unless it is done already.
                Broker.waitUntil("a copier's progress", () -> !copier.isAlive() || copier.output().contains("\"progress\""));
                copier.close();
                copiers.set(partition, copier(input, output, run, partition));
            }
            for (Child copier : copiers) {
                assertEquals(0, copier.await(), copier.output());
            }
        } finally {
            for (Child copier : copiers) {
                copier.close();
            }
        }
        assertEquals(
                sorted(Broker.readAll(input, "read_uncommitted")), sorted(Broker.readAll(output, "read_committed")));
    }

    private static List<String> sorted(List<ConsumerRecord<String, String>> records) {
        return records.stream().map(record -> record.key() + "=" + record.value()).sorted().toList();
    }

    @Test
    @Timeout(value = 120, unit = TimeUnit.SECONDS)
    void what_the_verifiable_producer_acknowledges_the_verifiable_consumer_reads() throws Exception {
        String topic = Broker.topic("verifiable", 2);
        try (Child producer = Child.start(
                        "org.apache.kafka.tools.VerifiableProducer",
                        "--bootstrap-server", Broker.bootstrap(), "--topic", topic, "--max-messages", 1000, "--acks", -1);
                Child consumer = Child.start(
                        "org.apache.kafka.tools.VerifiableConsumer",
                        "--bootstrap-server", Broker.bootstrap(), "--topic", topic, "--group-id", Broker.name("verifiable"),
                        "--max-messages", 1000, "--verbose")) {
            assertEquals(0, producer.await(), producer.output());
            assertTrue(producer.output().contains("\"acked\":1000"), producer.output());
            assertEquals(0, consumer.await(), consumer.output());
            TreeSet<Integer> read = new TreeSet<>();
            Matcher record = Pattern.compile("\"name\":\"record_data\".*?\"value\":\"(\\d+)\"").matcher(consumer.output());
            int records = 0;
            for (; record.find(); records++) {
                read.add(Integer.parseInt(record.group(1)));
            }
            assertEquals(1000, records);
            assertEquals(1000, read.size());
            assertEquals(999, read.last());
            assertTrue(consumer.output().contains("offsets_committed"), consumer.output());
        }
    }
}
