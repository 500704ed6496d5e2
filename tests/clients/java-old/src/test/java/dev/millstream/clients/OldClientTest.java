package dev.millstream.clients;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What an application of those years does. */
class OldClientTest {
    private static final long WAIT_MAX_NS = Duration.ofSeconds(30).toNanos();

    private static Map<String, Object> config(Object... settings) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", System.getenv("BOOTSTRAP"));
        for (int i = 0; i < settings.length; i += 2) {
            config.put((String) settings[i], settings[i + 1]);
        }
        return config;
    }

    private static KafkaProducer<String, String> producer(Object... settings) {
        Map<String, Object> config = config(settings);
        config.putIfAbsent("acks", "all");
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    private static KafkaConsumer<String, String> consumer(Object... settings) {
        Map<String, Object> config = config(settings);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", false);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    private static String name(String what) {
        return what + "-" + UUID.randomUUID().toString().substring(0, 8);
    }

    private static String topic(String what, int partitions, Map<String, String> configs) throws Exception {
        String name = name(what);
        try (Admin admin = Admin.create(config())) {
            admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs))).all().get();
            // Kafka's controller answers before the broker leads every partition.
            waitUntil("topic " + name, () -> {
                try {
                    Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
                    for (int p = 0; p < partitions; p++) {
                        ends.put(new TopicPartition(name, p), OffsetSpec.latest());
                    }
                    return admin.listOffsets(ends).all().get().size() == partitions;
                } catch (ExecutionException notYet) {
                    return false;
                }
            });
        }
        return name;
    }

    private static void waitUntil(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + WAIT_MAX_NS;
        while (!condition.call()) {
            assertTrue(System.nanoTime() < deadline, what);
            Thread.sleep(10);
        }
    }

    private static List<ConsumerRecord<String, String>> readAll(String topic, String isolation) throws Exception {
        List<ConsumerRecord<String, String>> read = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = consumer("isolation.level", isolation)) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(p -> partitions.add(new TopicPartition(topic, p.partition())));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            waitUntil("all of " + topic, () -> {
                consumer.poll(Duration.ofMillis(100)).forEach(read::add);
                return ends.entrySet().stream().allMatch(e -> consumer.position(e.getKey()) >= e.getValue());
            });
        }
        return read;
    }

    private static void fill(String topic, int partitions, int from, int to) {
        try (KafkaProducer<String, String> producer = producer()) {
            for (int i = from; i < to; i++) {
                producer.send(new ProducerRecord<>(topic, i % partitions, 1_000_000L + i, "k" + i, "v" + i));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"none", "gzip", "snappy", "lz4", "zstd"})
    void every_codec_round_trips_keys_values_headers_and_nulls(String codec) throws Exception {
        String topic = topic("codec", 1, Map.of());
        String large = String.join("", Collections.nCopies(5_000, "abcdefghij"));
        try (KafkaProducer<String, String> producer = producer("compression.type", codec, "linger.ms", 20)) {
            ProducerRecord<String, String> full = new ProducerRecord<>(topic, 0, 1_700_000_000_123L, "key", large);
            full.headers().add("trace", "a1".getBytes(StandardCharsets.UTF_8));
            full.headers().add("null", null);
            producer.send(full);
            producer.send(new ProducerRecord<>(topic, 0, null, null));
            for (int i = 0; i < 200; i++) {
                producer.send(new ProducerRecord<>(topic, 0, "k", "v" + i));
            }
        }
        List<ConsumerRecord<String, String>> read = readAll(topic, "read_uncommitted");
        assertEquals(202, read.size());
        assertEquals(large, read.get(0).value());
        assertEquals(1_700_000_000_123L, read.get(0).timestamp());
        assertArrayEquals("a1".getBytes(StandardCharsets.UTF_8), read.get(0).headers().lastHeader("trace").value());
        assertNull(read.get(0).headers().lastHeader("null").value());
        assertNull(read.get(1).key());
        assertNull(read.get(1).value());
        assertEquals("v199", read.get(201).value());
    }

    @Test
    void a_record_above_max_message_bytes_is_refused() throws Exception {
        String topic = topic("limit", 1, Map.of("max.message.bytes", "100000"));
        try (KafkaProducer<String, String> producer = producer()) {
            producer.send(new ProducerRecord<>(topic, String.join("", Collections.nCopies(99_900, "x")))).get();
            ExecutionException refused = assertThrows(ExecutionException.class, () -> producer.send(
                    new ProducerRecord<>(topic, String.join("", Collections.nCopies(100_001, "x")))).get());
            assertInstanceOf(RecordTooLargeException.class, refused.getCause());
        }
        assertEquals(1, readAll(topic, "read_uncommitted").size());
    }

    @Test
    void an_idempotent_producer_keeps_the_order_over_two_hundred_partitions() throws Exception {
        String topic = topic("wide", 200, Map.of());
        try (KafkaProducer<String, String> producer = producer("enable.idempotence", true, "batch.size", 100)) {
            for (int i = 0; i < 2000; i++) {
                producer.send(new ProducerRecord<>(topic, i % 200, "k", Integer.toString(i)));
            }
        }
        Map<Integer, Integer> last = new HashMap<>();
        List<ConsumerRecord<String, String>> read = readAll(topic, "read_uncommitted");
        assertEquals(2000, read.size());
        for (ConsumerRecord<String, String> record : read) {
            int value = Integer.parseInt(record.value());
            assertTrue(value > last.getOrDefault(record.partition(), -1));
            last.put(record.partition(), value);
        }
    }

    @Test
    void a_consumer_starts_at_an_offset_and_at_a_time() throws Exception {
        String topic = topic("positions", 1, Map.of());
        fill(topic, 1, 0, 100);
        TopicPartition here = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> consumer = consumer()) {
            consumer.assign(List.of(here));
            assertEquals(42, consumer.offsetsForTimes(Map.of(here, 1_000_042L)).get(here).offset());
            assertNull(consumer.offsetsForTimes(Map.of(here, 2_000_000L)).get(here));
            consumer.seek(here, 60);
            List<String> read = new ArrayList<>();
            waitUntil("forty", () -> {
                consumer.poll(Duration.ofMillis(100)).forEach(record -> read.add(record.value()));
                return read.size() == 40;
            });
            assertEquals("v60", read.get(0));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"RangeAssignor", "RoundRobinAssignor", "StickyAssignor", "CooperativeStickyAssignor"})
    void a_second_member_shares_the_partitions_and_leaves_them_again(String assignor) throws Exception {
        String topic = topic("shared", 4, Map.of());
        String group = name("two");
        fill(topic, 4, 0, 100);
        Object[] settings = {"group.id", group, "heartbeat.interval.ms", 300, "session.timeout.ms", 10_000,
            "partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor};
        Set<String> seen = new HashSet<>();
        try (KafkaConsumer<String, String> first = consumer(settings)) {
            first.subscribe(List.of(topic));
            waitUntil("the first has all", () -> poll(first, seen) == 4 && seen.size() == 100);
            first.commitSync();
            try (KafkaConsumer<String, String> second = consumer(settings)) {
                second.subscribe(List.of(topic));
                Set<String> again = new HashSet<>();
                waitUntil("two each", () -> poll(first, again) == 2 & poll(second, again) == 2);
                assertEquals(Set.of(), again, "all of it was committed");
            }
            waitUntil("all again", () -> poll(first, seen) == 4);
            fill(topic, 4, 100, 200);
            waitUntil("the rest", () -> poll(first, seen) == 4 && seen.size() == 200);
            first.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(50, "half way")));
        }
        try (KafkaConsumer<String, String> later = consumer("group.id", group)) {
            TopicPartition here = new TopicPartition(topic, 0);
            assertEquals(new OffsetAndMetadata(50, "half way"), later.committed(Set.of(here)).get(here));
        }
    }

    private static int poll(KafkaConsumer<String, String> consumer, Set<String> seen) {
        consumer.poll(Duration.ofMillis(50)).forEach(record -> seen.add(record.value()));
        return consumer.assignment().size();
    }

    @Test
    void transactions_commit_abort_and_fence_and_carry_offsets() throws Exception {
        String topic = topic("txn", 2, Map.of());
        String group = name("copy");
        String id = name("txn-id");
        TopicPartition here = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> older = producer("transactional.id", id);
                KafkaConsumer<String, String> offsets = consumer("group.id", group)) {
            older.initTransactions();
            for (boolean commit : new boolean[] {false, true}) {
                older.beginTransaction();
                for (int i = 0; i < 20; i++) {
                    older.send(new ProducerRecord<>(topic, i % 2, "k", commit + "-" + i));
                }
                older.flush();
                older.sendOffsetsToTransaction(Map.of(here, new OffsetAndMetadata(commit ? 10 : 4)), offsets.groupMetadata());
                if (commit) {
                    older.commitTransaction();
                } else {
                    older.abortTransaction();
                }
                OffsetAndMetadata committed = offsets.committed(Set.of(here)).get(here);
                assertEquals(commit ? 10L : null, committed == null ? null : committed.offset());
            }
            older.beginTransaction();
            older.send(new ProducerRecord<>(topic, 0, "k", "left open")).get();
            try (KafkaProducer<String, String> newer = producer("transactional.id", id)) {
                newer.initTransactions();
                Exception fenced = assertThrows(Exception.class, () -> {
                    older.send(new ProducerRecord<>(topic, 0, "k", "too late")).get();
                    older.commitTransaction();
                });
                // Which one depends on the request that meets the new epoch first.
                Throwable cause = fenced instanceof ExecutionException ? fenced.getCause() : fenced;
                assertTrue(cause instanceof ProducerFencedException || cause instanceof InvalidProducerEpochException
                        || cause.getCause() instanceof ProducerFencedException
                        || cause.getCause() instanceof InvalidProducerEpochException, cause.toString());
            }
        }
        List<ConsumerRecord<String, String>> committed = readAll(topic, "read_committed");
        assertEquals(20, committed.size());
        assertTrue(committed.stream().allMatch(record -> record.value().startsWith("true-")));
    }

    @Test
    void an_administrator_creates_describes_alters_purges_and_deletes() throws Exception {
        String topic = topic("admin", 2, Map.of("retention.ms", "3600000"));
        fill(topic, 1, 0, 100);
        TopicPartition here = new TopicPartition(topic, 0);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        try (Admin admin = Admin.create(config())) {
            ExecutionException taken = assertThrows(ExecutionException.class,
                    () -> admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get());
            assertInstanceOf(TopicExistsException.class, taken.getCause());
            assertEquals("3600000", admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value());
            admin.incrementalAlterConfigs(Map.of(resource, List.of(
                    new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET)))).all().get();
            waitUntil("the new retention", () -> admin.describeConfigs(List.of(resource)).all().get()
                    .get(resource).get("retention.ms").value().equals("7200000"));
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            waitUntil("five partitions", () -> admin.describeTopics(List.of(topic)).values().get(topic).get().partitions().size() == 5);
            assertEquals(60, admin.deleteRecords(Map.of(here, RecordsToDelete.beforeOffset(60))).lowWatermarks().get(here).get().lowWatermark());
            assertEquals(60, admin.listOffsets(Map.of(here, OffsetSpec.earliest())).partitionResult(here).get().offset());
            assertEquals(70, admin.listOffsets(Map.of(here, OffsetSpec.forTimestamp(1_000_070))).partitionResult(here).get().offset());
            String group = name("admin");
            try (KafkaConsumer<String, String> member = consumer("group.id", group)) {
                member.subscribe(List.of(topic));
                Set<String> seen = new HashSet<>();
                waitUntil("it reads", () -> poll(member, seen) == 5 && seen.size() == 40);
                member.commitSync();
                assertEquals("Stable", admin.describeConsumerGroups(List.of(group)).all().get().get(group).state().toString());
                ExecutionException refused = assertThrows(ExecutionException.class,
                        () -> admin.deleteConsumerGroups(List.of(group)).all().get());
                assertInstanceOf(GroupNotEmptyException.class, refused.getCause());
            }
            assertEquals(100, admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(here).offset());
            admin.deleteConsumerGroups(List.of(group)).all().get();
            admin.deleteTopics(List.of(topic)).all().get();
            waitUntil("gone", () -> !admin.listTopics().names().get().contains(topic));
        }
    }
}
