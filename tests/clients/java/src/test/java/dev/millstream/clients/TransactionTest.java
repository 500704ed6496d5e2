package dev.millstream.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.junit.jupiter.api.Test;

class TransactionTest {
    private static KafkaProducer<String, String> transactional(String id) {
        KafkaProducer<String, String> producer = Broker.producer("transactional.id", id);
        producer.initTransactions();
        return producer;
    }

    private static void send(KafkaProducer<String, String> producer, String topic, int partitions, String prefix, int n) {
        for (int i = 0; i < n; i++) {
            producer.send(new ProducerRecord<>(topic, i % partitions, null, prefix + i));
        }
    }

    @Test
    void read_committed_sees_committed_records_and_never_aborted_ones() throws Exception {
        String topic = Broker.topic("txn", 3);
        try (KafkaProducer<String, String> producer = transactional(Broker.name("txn-id"))) {
            for (int round = 0; round < 6; round++) {
                producer.beginTransaction();
                boolean commit = round % 2 == 0;
                send(producer, topic, 3, (commit ? "commit-" : "abort-") + round + "-", 30);
                // An abort drops what has not been sent yet; these shall reach the log.
                producer.flush();
                if (commit) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                }
            }
        }
        List<String> committed = Broker.values(Broker.readAll(topic, "read_committed"));
        assertEquals(90, committed.size());
        assertTrue(committed.stream().allMatch(value -> value.startsWith("commit-")), committed.toString());
        assertEquals(90, new TreeSet<>(committed).size());
        assertEquals(180, Broker.readAll(topic, "read_uncommitted").size());
    }

    @Test
    void an_open_transaction_holds_back_the_last_stable_offset_until_it_ends() throws Exception {
        String topic = Broker.topic("stable", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> open = transactional(Broker.name("open"));
                KafkaProducer<String, String> plain = Broker.producer();
                Admin admin = Broker.admin()) {
            plain.send(new ProducerRecord<>(topic, "before")).get();
            open.beginTransaction();
            open.send(new ProducerRecord<>(topic, "inside")).get();
            plain.send(new ProducerRecord<>(topic, "after")).get();

            assertEquals(List.of("before"), Broker.values(Broker.readAll(topic, "read_committed")));
            assertEquals(1, latest(admin, partition, IsolationLevel.READ_COMMITTED));
            assertEquals(3, latest(admin, partition, IsolationLevel.READ_UNCOMMITTED));

            open.commitTransaction();
            Broker.waitUntil("the marker", () -> Broker.readAll(topic, "read_committed").size() == 3);
            assertEquals(List.of("before", "inside", "after"), Broker.values(Broker.readAll(topic, "read_committed")));
            assertEquals(4, latest(admin, partition, IsolationLevel.READ_COMMITTED));
        }
    }

    private static long latest(Admin admin, TopicPartition partition, IsolationLevel isolation) throws Exception {
        return admin.listOffsets(Map.of(partition, OffsetSpec.latest()), new ListOffsetsOptions(isolation))
                .partitionResult(partition)
                .get()
                .offset();
    }

    @Test
    void a_newer_producer_of_the_same_id_fences_the_older_and_aborts_its_transaction() throws Exception {
        String topic = Broker.topic("fence", 2);
        String id = Broker.name("fenced-id");
        try (KafkaProducer<String, String> older = transactional(id)) {
            older.beginTransaction();
            send(older, topic, 2, "older-", 10);
            older.flush();
            try (KafkaProducer<String, String> newer = transactional(id)) {
                KafkaException fenced = assertThrows(KafkaException.class, () -> {
                    older.send(new ProducerRecord<>(topic, 0, null, "too-late"));
                    older.commitTransaction();
                });
                assertTrue(isFencing(fenced), "fenced by " + fenced);
                newer.beginTransaction();
                send(newer, topic, 2, "newer-", 10);
                newer.commitTransaction();
            }
        }
        List<String> committed = Broker.values(Broker.readAll(topic, "read_committed"));
        assertEquals(10, committed.size());
        assertTrue(committed.stream().allMatch(value -> value.startsWith("newer-")), committed.toString());
    }

    /** KIP-360 and KIP-890: depending on which request meets the new epoch first. */
    private static boolean isFencing(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause instanceof ProducerFencedException || cause instanceof InvalidProducerEpochException) {
                return true;
            }
        }
        return false;
    }

    @Test
    void offsets_sent_to_a_transaction_appear_with_its_commit_and_not_with_its_abort() throws Exception {
        String input = Broker.topic("copy-in", 1);
        String output = Broker.topic("copy-out", 1);
        String group = Broker.name("copy-group");
        TopicPartition partition = new TopicPartition(input, 0);
        try (KafkaProducer<String, String> seed = Broker.producer()) {
            for (int i = 0; i < 50; i++) {
                seed.send(new ProducerRecord<>(input, "v" + i));
            }
        }
        try (KafkaConsumer<String, String> consumer = Broker.consumer("group.id", group, "isolation.level", "read_committed");
                KafkaProducer<String, String> producer = transactional(Broker.name("copier"))) {
            consumer.subscribe(List.of(input));
            List<ConsumerRecord<String, String>> read = new java.util.ArrayList<>();
            Broker.waitUntil("50 records", () -> {
                consumer.poll(Duration.ofMillis(100)).forEach(read::add);
                return read.size() == 50;
            });

            producer.beginTransaction();
            producer.send(new ProducerRecord<>(output, "aborted"));
            producer.sendOffsetsToTransaction(
                    Map.of(partition, new OffsetAndMetadata(20, "aborted")), consumer.groupMetadata());
            producer.abortTransaction();
            assertEquals(null, consumer.committed(Set.of(partition)).get(partition));

            producer.beginTransaction();
            read.forEach(record -> producer.send(new ProducerRecord<>(output, record.value())));
            producer.sendOffsetsToTransaction(
                    Map.of(partition, new OffsetAndMetadata(50, "copied")), consumer.groupMetadata());
            producer.commitTransaction();
            Broker.waitUntil("the committed offset", () -> consumer.committed(Set.of(partition)).get(partition) != null);
            OffsetAndMetadata committed = consumer.committed(Set.of(partition)).get(partition);
            assertEquals(50, committed.offset());
            assertEquals("copied", committed.metadata());
        }
        assertEquals(50, Broker.readAll(output, "read_committed").size());
    }

    @Test
    void a_transaction_that_wrote_nothing_commits_and_the_next_one_works() throws Exception {
        String topic = Broker.topic("empty-txn", 1);
        try (KafkaProducer<String, String> producer = transactional(Broker.name("empty"))) {
            producer.beginTransaction();
            producer.commitTransaction();
            producer.beginTransaction();
            producer.abortTransaction();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "v"));
            producer.commitTransaction();
        }
        assertEquals(List.of("v"), Broker.values(Broker.readAll(topic, "read_committed")));
    }

    @Test
    void a_transaction_left_open_is_aborted_after_its_timeout() throws Exception {
        String topic = Broker.topic("timeout", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        KafkaProducer<String, String> abandoned =
                Broker.producer("transactional.id", Broker.name("abandoned"), "transaction.timeout.ms", 1000,
                        "delivery.timeout.ms", 900, "request.timeout.ms", 800, "linger.ms", 0);
        try (Admin admin = Broker.admin()) {
            abandoned.initTransactions();
            abandoned.beginTransaction();
            abandoned.send(new ProducerRecord<>(topic, "left open")).get();
            assertEquals(0, latest(admin, partition, IsolationLevel.READ_COMMITTED));
            Broker.waitUntil("the broker's abort", () -> {
                try {
                    return latest(admin, partition, IsolationLevel.READ_COMMITTED) == 2;
                } catch (Exception error) {
                    throw new AssertionError(error);
                }
            });
        } finally {
            abandoned.close(Duration.ZERO);
        }
        assertEquals(List.of(), Broker.values(Broker.readAll(topic, "read_committed")));
    }
}
