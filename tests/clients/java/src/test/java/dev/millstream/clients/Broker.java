package dev.millstream.clients;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The broker under test: its address, clients for it, and names that no other test uses. */
final class Broker {
    static final Duration WAIT_MAX = Duration.ofSeconds(30);

    private Broker() {}

    static String bootstrap() {
        String address = System.getProperty("bootstrap", System.getenv("BOOTSTRAP"));
        if (address == null || address.isEmpty()) {
            throw new IllegalStateException("BOOTSTRAP is not set: run tests/clients/run.sh");
        }
        return address;
    }

    /** A name that is fresh in every run, so that a suite may be repeated on one server. */
    static String name(String what) {
        return what + "-" + UUID.randomUUID().toString().substring(0, 8);
    }

    static Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", bootstrap()));
    }

    static String topic(String what, int partitions) throws Exception {
        return topic(what, partitions, Map.of());
    }

    static String topic(String what, int partitions, Map<String, String> configs) throws Exception {
        String name = name(what);
        try (Admin admin = admin()) {
            admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs)))
                    .all()
                    .get();
            waitForTopic(admin, name);
            // Nor are its logs open at once: the admin client retries until every one answers.
            Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
            for (int p = 0; p < partitions; p++) {
                ends.put(new TopicPartition(name, p), OffsetSpec.latest());
            }
            admin.listOffsets(ends).all().get();
        }
        return name;
    }

    /** Kafka's controller answers before the broker's own view has the topic. */
    static void waitForTopic(Admin admin, String name) {
        waitUntil("topic " + name, () -> {
            try {
                return admin.describeTopics(List.of(name)).allTopicNames().get().containsKey(name);
            } catch (ExecutionException notYet) {
                return false;
            } catch (InterruptedException error) {
                throw new AssertionError(error);
            }
        });
    }

    static KafkaProducer<String, String> producer(Object... settings) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap());
        config.put("acks", "all");
        config.put("delivery.timeout.ms", 30_000);
        config.put("request.timeout.ms", 10_000);
        config.put("max.block.ms", 30_000);
        add(config, settings);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(Object... settings) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap());
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", false);
        add(config, settings);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    private static void add(Map<String, Object> config, Object[] settings) {
        for (int i = 0; i < settings.length; i += 2) {
            config.put((String) settings[i], settings[i + 1]);
        }
    }

    /** Everything in the topic now, from its beginning to its end at that isolation. */
    static List<ConsumerRecord<String, String>> readAll(String topic, String isolation) {
        List<ConsumerRecord<String, String>> read = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = consumer("isolation.level", isolation)) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                    .map(info -> new TopicPartition(topic, info.partition()))
                    .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            waitUntil(
                    "all records of " + topic + " up to " + ends,
                    () -> {
                        consumer.poll(Duration.ofMillis(100)).forEach(read::add);
                        return ends.entrySet().stream()
                                .allMatch(end -> consumer.position(end.getKey()) >= end.getValue());
                    });
        }
        return read;
    }

    static List<String> values(Collection<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).toList();
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Waits for a condition with a bound; what it polls may throw. */
    static void waitUntil(String what, BooleanSupplier condition) {
        long deadline = System.nanoTime() + WAIT_MAX.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + ": not within " + WAIT_MAX);
            }
            Thread.onSpinWait();
            java.util.concurrent.locks.LockSupport.parkNanos(5_000_000);
        }
    }

    /** The error behind a failed future, for assertions on its class. */
    static Throwable failure(ThrowingCall call) throws Exception {
        try {
            call.run();
        } catch (ExecutionException error) {
            return error.getCause();
        }
        throw new AssertionError("the call succeeded, but should have failed");
    }

    interface ThrowingCall {
        void run() throws Exception;
    }
}
