package dev.millstream.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

class StreamsTest {
    private static final int ROUNDS = 3;
    private static final int PER_ROUND = 200;
    private static final List<String> WORDS = List.of("wheat", "rye", "barley", "oats", "millet");

    /** Lines and both sides of the join, all of about one event time, so that the windows meet. */
    private static void feed(KafkaProducer<String, String> producer, String app, int round, Map<String, Integer> said) {
        long now = System.currentTimeMillis();
        for (int i = round * PER_ROUND; i < (round + 1) * PER_ROUND; i++) {
            String one = WORDS.get(i % 5);
            String other = WORDS.get(i % 3);
            said.merge(one, 1, Integer::sum);
            said.merge(other, 1, Integer::sum);
            producer.send(new ProducerRecord<>(app + "-lines", i % 2, now, "k" + i, one + " " + other));
            producer.send(new ProducerRecord<>(app + "-left", i % 2, now, "k" + i, "l" + i));
            producer.send(new ProducerRecord<>(app + "-right", i % 2, now, "k" + i, "r" + i));
        }
        producer.flush();
    }

    private static List<ConsumerRecord<String, String>> committed(String topic) {
        return Broker.readAll(topic, "read_committed");
    }

    private static void waitForOutput(Child app, String topic, int records) {
        long deadline = System.nanoTime() + 2 * Broker.WAIT_MAX.toNanos();
        while (committed(topic).size() < records) {
            assertTrue(app.isAlive(), "the application ended: " + app.output());
            assertTrue(System.nanoTime() < deadline, records + " in " + topic + ": " + committed(topic).size() + app.output());
            // Reading it all is work, and the application's cores are these.
            java.util.concurrent.locks.LockSupport.parkNanos(200_000_000);
        }
    }

    @Test
    @Timeout(value = 180, unit = TimeUnit.SECONDS)
    void a_word_count_and_a_windowed_join_are_exact_through_kills_of_the_application(@TempDir Path state) throws Exception {
        String app = Broker.name("streams");
        try (Admin admin = Broker.admin()) {
            List<NewTopic> topics = new ArrayList<>();
            for (String topic : List.of("lines", "left", "right", "counts", "joined")) {
                topics.add(new NewTopic(app + "-" + topic, 2, (short) 1));
            }
            admin.createTopics(topics).all().get();
            topics.forEach(topic -> Broker.waitForTopic(admin, topic.name()));
        }
        Map<String, Integer> said = new TreeMap<>();
        Child running = Child.start(StreamsApp.class.getName(), app, state);
        try (KafkaProducer<String, String> producer = Broker.producer()) {
            for (int round = 0; round < ROUNDS; round++) {
                feed(producer, app, round, said);
                // In the middle of this round's work, some of it committed.
                waitForOutput(running, app + "-counts", round * 2 * PER_ROUND + 1);
                if (round + 1 < ROUNDS) {
                    running.close();
                    running = Child.start(StreamsApp.class.getName(), app, state);
                }
            }
            waitForOutput(running, app + "-counts", ROUNDS * 2 * PER_ROUND);
            waitForOutput(running, app + "-joined", ROUNDS * PER_ROUND);
        } finally {
            running.close();
        }

        // Without a cache every update leaves: of each word 1, 2, 3, ... and each once.
        Map<String, List<Integer>> counts = new HashMap<>();
        for (ConsumerRecord<String, String> record : committed(app + "-counts")) {
            counts.computeIfAbsent(record.key(), word -> new ArrayList<>()).add(Integer.parseInt(record.value()));
        }
        assertEquals(said.keySet(), new TreeSet<>(counts.keySet()));
        counts.forEach((word, numbers) -> {
            List<Integer> expected = new ArrayList<>();
            for (int n = 1; n <= said.get(word); n++) {
                expected.add(n);
            }
            assertEquals(expected, numbers, word);
        });
        List<String> joined = Broker.values(committed(app + "-joined"));
        TreeSet<String> expected = new TreeSet<>();
        for (int i = 0; i < ROUNDS * PER_ROUND; i++) {
            expected.add("l" + i + "+r" + i);
        }
        assertEquals(expected, new TreeSet<>(joined));
        assertEquals(expected.size(), joined.size(), "no pair twice");
    }
}
