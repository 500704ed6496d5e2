package dev.millstream.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GroupTest {
    /** A group member on its own thread, as an application is. */
    private static final class Member implements AutoCloseable {
        final Set<String> values = ConcurrentHashMap.newKeySet();
        volatile Set<TopicPartition> assignment = Set.of();
        volatile Throwable failure;
        private final AtomicBoolean stopping = new AtomicBoolean();
        private final CountDownLatch ended = new CountDownLatch(1);

        Member(String group, String topic, String assignor) {
            Thread thread = new Thread(() -> run(group, topic, assignor), "member-" + group);
            thread.setDaemon(true);
            thread.start();
        }

        private void run(String group, String topic, String assignor) {
            Object[] settings = {"group.id", group, "session.timeout.ms", 10_000, "heartbeat.interval.ms", 300,
                "partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor};
            try (KafkaConsumer<String, String> consumer = Broker.consumer(settings)) {
                consumer.subscribe(List.of(topic));
                while (!stopping.get()) {
                    consumer.poll(Duration.ofMillis(100)).forEach(record -> values.add(record.value()));
                    commit(consumer);
                    assignment = Set.copyOf(consumer.assignment());
                }
            } catch (Throwable error) {
                failure = error;
            } finally {
                assignment = Set.of();
                ended.countDown();
            }
        }

        /** KIP-429: a commit in the middle of a rebalance is to be done again after it. */
        private static void commit(KafkaConsumer<String, String> consumer) {
            try {
                consumer.commitSync();
            } catch (RebalanceInProgressException again) {
                // The next poll completes the rebalance and the next commit follows it.
            }
        }

        /** What the member owns; a member that failed fails the test at once. */
        Set<TopicPartition> owned() {
            if (failure != null) {
                throw new AssertionError("a member failed", failure);
            }
            return assignment;
        }

        @Override
        public void close() throws InterruptedException {
            stopping.set(true);
            assertTrue(ended.await(30, TimeUnit.SECONDS), "the member leaves");
            if (failure != null) {
                throw new AssertionError("a member failed", failure);
            }
        }
    }

    private static void produce(String topic, int partitions, int from, int to) {
        try (KafkaProducer<String, String> producer = Broker.producer()) {
            for (int i = from; i < to; i++) {
                producer.send(new ProducerRecord<>(topic, i % partitions, null, "v" + i));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"RangeAssignor", "CooperativeStickyAssignor"})
    void a_second_member_shares_the_partitions_and_the_first_takes_them_back_when_it_leaves(String assignor)
            throws Exception {
        String topic = Broker.topic("shared", 4);
        String group = Broker.name("group-of-two");
        produce(topic, 4, 0, 100);
        Set<TopicPartition> all = new HashSet<>();
        for (int p = 0; p < 4; p++) {
            all.add(new TopicPartition(topic, p));
        }
        try (Member first = new Member(group, topic, assignor); Admin admin = Broker.admin()) {
            Broker.waitUntil("the first member owns all", () -> first.owned().equals(all));
            Broker.waitUntil("the first 100", () -> first.values.size() == 100);

            Member second = new Member(group, topic, assignor);
            Broker.waitUntil("both own two partitions each", () ->
                    first.owned().size() == 2 && second.owned().size() == 2);
            Set<TopicPartition> together = new HashSet<>(first.owned());
            together.addAll(second.owned());
            assertEquals(all, together);

            produce(topic, 4, 100, 200);
            Broker.waitUntil("the second 100 between the two", () -> {
                Set<String> seen = new HashSet<>(first.values);
                seen.addAll(second.values);
                return seen.size() == 200;
            });
            assertTrue(second.values.size() >= 50, "the second member read its share: " + second.values.size());
            second.close();

            Broker.waitUntil("the first member owns all again", () -> first.owned().equals(all));
            produce(topic, 4, 200, 300);
            Broker.waitUntil("the last 100 by the first member",
                    () -> first.values.stream().filter(v -> Integer.parseInt(v.substring(1)) >= 200).count() == 100);
            Broker.waitUntil("all committed", () -> committed(admin, group) == 300);
        }
    }

    private static long committed(Admin admin, String group) {
        try {
            return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().values().stream()
                    .mapToLong(OffsetAndMetadata::offset)
                    .sum();
        } catch (Exception error) {
            throw new AssertionError(error);
        }
    }

    @Test
    void a_consumer_resumes_at_the_committed_offset_and_the_metadata_survives() throws Exception {
        String topic = Broker.topic("resume", 1);
        String group = Broker.name("resume-group");
        TopicPartition partition = new TopicPartition(topic, 0);
        produce(topic, 1, 0, 20);
        try (KafkaConsumer<String, String> consumer = Broker.consumer("group.id", group)) {
            consumer.assign(List.of(partition));
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(12, "half way")));
        }
        try (KafkaConsumer<String, String> consumer = Broker.consumer("group.id", group)) {
            assertEquals("half way", consumer.committed(Set.of(partition)).get(partition).metadata());
            consumer.assign(List.of(partition));
            var records = new java.util.ArrayList<String>();
            Broker.waitUntil("the rest", () -> {
                consumer.poll(Duration.ofMillis(100)).forEach(record -> records.add(record.value()));
                return records.size() == 8;
            });
            assertEquals("v12", records.get(0));
        }
    }

    @Test
    void groups_are_listed_described_and_deleted_only_when_empty() throws Exception {
        String topic = Broker.topic("described", 2);
        String group = Broker.name("described-group");
        produce(topic, 2, 0, 10);
        try (Admin admin = Broker.admin()) {
            try (Member member = new Member(group, topic, "RangeAssignor")) {
                Broker.waitUntil("an assignment", () -> member.owned().size() == 2);
                var description = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                assertEquals(GroupState.STABLE, description.groupState());
                assertEquals("range", description.partitionAssignor());
                assertEquals(1, description.members().size());
                assertEquals(
                        Set.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1)),
                        description.members().iterator().next().assignment().topicPartitions());
                assertTrue(description.members().iterator().next().host().contains("127.0.0.1"));
                assertTrue(admin.listGroups().all().get().stream()
                        .map(GroupListing::groupId).toList().contains(group));
                Throwable refused = Broker.failure(() -> admin.deleteConsumerGroups(List.of(group)).all().get());
                assertInstanceOf(GroupNotEmptyException.class, refused);
            }
            var description = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            assertEquals(GroupState.EMPTY, description.groupState());
            assertEquals(10, committed(admin, group));
            admin.deleteConsumerGroups(List.of(group)).all().get();
            assertTrue(admin.listGroups().all().get().stream()
                    .map(GroupListing::groupId).noneMatch(group::equals));
            Throwable gone = Broker.failure(() -> admin.deleteConsumerGroups(List.of(group)).all().get());
            assertInstanceOf(GroupIdNotFoundException.class, gone);
        }
    }

    @Test
    void offsets_of_an_empty_group_can_be_set_by_an_administrator() throws Exception {
        String topic = Broker.topic("reset", 1);
        String group = Broker.name("reset-group");
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Admin admin = Broker.admin()) {
            admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(7))).all().get();
            assertEquals(7, committed(admin, group));
        }
    }
}
