package dev.millstream.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.UnsupportedAssignorException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The consumer group protocol of KIP-848: group.protocol=consumer. */
class ConsumerGroupTest {
    /** A group member on its own thread, as an application is. */
    private static final class Member implements AutoCloseable {
        final Set<String> values = ConcurrentHashMap.newKeySet();
        final AtomicInteger taken = new AtomicInteger();
        volatile Set<TopicPartition> assignment = Set.of();
        volatile Throwable failure;
        private final AtomicBoolean stopping = new AtomicBoolean();
        private final CountDownLatch ended = new CountDownLatch(1);

        Member(String group, Subscription subscription, Object... settings) {
            Thread thread = new Thread(() -> run(group, subscription, settings), "member-" + group);
            thread.setDaemon(true);
            thread.start();
        }

        interface Subscription {
            void on(KafkaConsumer<String, String> consumer, ConsumerRebalanceListener listener);
        }

        /** What it owns comes from the listener: what the group has told it, in this order. */
        private void run(String group, Subscription subscription, Object[] settings) {
            Object[] all = new Object[settings.length + 2];
            all[0] = "group.id";
            all[1] = group;
            System.arraycopy(settings, 0, all, 2, settings.length);
            try (KafkaConsumer<String, String> consumer = Broker.consumer(all)) {
                subscription.on(consumer, new ConsumerRebalanceListener() {
                    @Override
                    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                        commit(consumer);
                        Set<TopicPartition> left = new HashSet<>(assignment);
                        left.removeAll(partitions);
                        assignment = Set.copyOf(left);
                    }

                    @Override
                    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                        taken.addAndGet(partitions.size());
                        Set<TopicPartition> now = new HashSet<>(assignment);
                        now.addAll(partitions);
                        assignment = Set.copyOf(now);
                    }
                });
                while (!stopping.get()) {
                    consumer.poll(Duration.ofMillis(100)).forEach(record -> values.add(record.value()));
                    commit(consumer);
                }
            } catch (Throwable error) {
                failure = error;
            } finally {
                assignment = Set.of();
                ended.countDown();
            }
        }

        private static void commit(KafkaConsumer<String, String> consumer) {
            try {
                consumer.commitSync();
            } catch (RebalanceInProgressException again) {
                // A classic member in the middle of a rebalance: the next commit follows it.
            }
        }

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

    private static Member.Subscription to(String... topics) {
        return (consumer, listener) -> consumer.subscribe(List.of(topics), listener);
    }

    private static Member consumer(String group, Member.Subscription subscription, Object... settings) {
        Object[] all = new Object[settings.length + 2];
        all[0] = "group.protocol";
        all[1] = "consumer";
        System.arraycopy(settings, 0, all, 2, settings.length);
        return new Member(group, subscription, all);
    }

    private static Member classic(String group, Member.Subscription subscription, String assignor) {
        return new Member(group, subscription, "group.protocol", "classic", "session.timeout.ms", 10_000,
                "heartbeat.interval.ms", 300, "partition.assignment.strategy",
                "org.apache.kafka.clients.consumer." + assignor);
    }

    private static Set<TopicPartition> partitions(String topic, int count) {
        Set<TopicPartition> all = new HashSet<>();
        for (int p = 0; p < count; p++) {
            all.add(new TopicPartition(topic, p));
        }
        return all;
    }

    private static void produce(String topic, int partitions, int from, int to) {
        try (KafkaProducer<String, String> producer = Broker.producer()) {
            for (int i = from; i < to; i++) {
                producer.send(new ProducerRecord<>(topic, i % partitions, null, "v" + i));
            }
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

    private static ConsumerGroupDescription describe(Admin admin, String group) {
        try {
            return admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        } catch (Exception error) {
            throw new AssertionError(error);
        }
    }

    private static void share(Member first, Member second, Set<TopicPartition> all, String what) {
        Broker.waitUntil(what, () -> {
            Set<TopicPartition> one = first.owned();
            Set<TopicPartition> two = second.owned();
            Set<TopicPartition> both = new HashSet<>(one);
            both.addAll(two);
            return both.equals(all) && one.size() == all.size() / 2 && two.size() == all.size() / 2;
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"uniform", "range"})
    void members_share_the_partitions_as_they_come_and_go(String assignor) throws Exception {
        String topic = Broker.topic("kip848", 4);
        String group = Broker.name("kip848-" + assignor);
        Set<TopicPartition> all = partitions(topic, 4);
        produce(topic, 4, 0, 100);
        try (Member first = consumer(group, to(topic), "group.remote.assignor", assignor);
                Admin admin = Broker.admin()) {
            Broker.waitUntil("the first member owns all", () -> first.owned().equals(all));
            Broker.waitUntil("the first 100", () -> first.values.size() == 100);
            Member second = consumer(group, to(topic), "group.remote.assignor", assignor);
            share(first, second, all, "both own two partitions each");
            produce(topic, 4, 100, 200);
            Broker.waitUntil("the second 100 between the two", () -> {
                Set<String> seen = new HashSet<>(first.values);
                seen.addAll(second.values);
                return seen.size() == 200;
            });
            assertTrue(second.values.size() >= 50, "the second member read its share: " + second.values.size());
            ConsumerGroupDescription description = describe(admin, group);
            assertEquals(GroupType.CONSUMER, description.type());
            assertEquals(assignor, description.partitionAssignor());
            assertEquals(2, description.members().size());
            second.close();
            Broker.waitUntil("the first member owns all again", () -> first.owned().equals(all));
            if (assignor.equals("uniform")) {
                assertEquals(6, first.taken.get(), "it kept two of four and took two back, nothing else moved");
            }
            produce(topic, 4, 200, 300);
            Broker.waitUntil("all committed", () -> committed(admin, group) == 300);
        }
    }

    @Test
    void groups_are_listed_by_type_described_and_deleted_only_when_empty() throws Exception {
        String topic = Broker.topic("described848", 2);
        String group = Broker.name("described848-group");
        produce(topic, 2, 0, 10);
        try (Admin admin = Broker.admin()) {
            try (Member member = consumer(group, to(topic))) {
                Broker.waitUntil("an assignment", () -> member.owned().size() == 2);
                Broker.waitUntil("all committed", () -> committed(admin, group) == 10);
                ConsumerGroupDescription description = describe(admin, group);
                assertEquals(GroupState.STABLE, description.groupState());
                assertEquals(GroupType.CONSUMER, description.type());
                assertEquals("uniform", description.partitionAssignor());
                assertEquals(1, description.members().size());
                var one = description.members().iterator().next();
                assertEquals(partitions(topic, 2), one.assignment().topicPartitions());
                assertEquals(partitions(topic, 2), one.targetAssignment().orElseThrow().topicPartitions());
                assertEquals(description.groupEpoch(), one.memberEpoch());
                assertEquals(description.targetAssignmentEpoch(), description.groupEpoch());
                assertTrue(one.upgraded().orElseThrow());
                assertTrue(one.host().contains("127.0.0.1"));
                var consumers = new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER));
                assertTrue(admin.listGroups(consumers).all().get().stream().anyMatch(g -> g.groupId().equals(group)));
                var classics = new ListGroupsOptions().withTypes(Set.of(GroupType.CLASSIC));
                assertTrue(admin.listGroups(classics).all().get().stream().noneMatch(g -> g.groupId().equals(group)));
                Throwable refused = Broker.failure(() -> admin.deleteConsumerGroups(List.of(group)).all().get());
                assertInstanceOf(GroupNotEmptyException.class, refused);
            }
            Broker.waitUntil("it is empty", () -> describe(admin, group).groupState() == GroupState.EMPTY);
            assertEquals(10, committed(admin, group));
            admin.deleteConsumerGroups(List.of(group)).all().get();
            assertTrue(admin.listGroups().all().get().stream().noneMatch(g -> g.groupId().equals(group)));
        }
    }

    @Test
    void a_pattern_is_matched_by_the_broker_and_follows_new_topics() throws Exception {
        String prefix = Broker.name("pattern");
        String first = Broker.topic(prefix + ".one", 1);
        String group = Broker.name("pattern-group");
        Member.Subscription pattern = (consumer, listener) ->
                consumer.subscribe(new SubscriptionPattern(prefix + "\\.(one|two).*"), listener);
        try (Member member = consumer(group, pattern, "metadata.max.age.ms", 1_000)) {
            Broker.waitUntil("the first topic", () -> member.owned().equals(partitions(first, 1)));
            Broker.topic(prefix + ".three", 1);
            String second = Broker.topic(prefix + ".two", 2);
            Set<TopicPartition> both = new HashSet<>(partitions(first, 1));
            both.addAll(partitions(second, 2));
            Broker.waitUntil("the topic that came later", () -> member.owned().equals(both));
            produce(second, 2, 0, 10);
            Broker.waitUntil("its records", () -> member.values.size() == 10);
        }
    }

    @Test
    void partitions_that_are_added_reach_the_members() throws Exception {
        String topic = Broker.topic("grows", 1);
        String group = Broker.name("grows-group");
        try (Member member = consumer(group, to(topic), "metadata.max.age.ms", 1_000);
                Admin admin = Broker.admin()) {
            Broker.waitUntil("the first partition", () -> member.owned().equals(partitions(topic, 1)));
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get();
            Broker.waitUntil("the new ones", () -> member.owned().equals(partitions(topic, 3)));
        }
    }

    @Test
    void a_static_member_comes_back_to_its_partitions() throws Exception {
        String topic = Broker.topic("static848", 4);
        String group = Broker.name("static848-group");
        Set<TopicPartition> all = partitions(topic, 4);
        try (Member other = consumer(group, to(topic), "group.instance.id", "other")) {
            Set<TopicPartition> before;
            try (Member member = consumer(group, to(topic), "group.instance.id", "one")) {
                share(other, member, all, "both own two partitions each");
                before = member.owned();
            }
            int taken = other.taken.get();
            try (Member member = consumer(group, to(topic), "group.instance.id", "one")) {
                Broker.waitUntil("it owns what it owned", () -> member.owned().equals(before));
                assertEquals(taken, other.taken.get(), "the other member noticed nothing");
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"CooperativeStickyAssignor", "RangeAssignor"})
    void a_classic_group_is_upgraded_and_downgraded_while_it_consumes(String assignor) throws Exception {
        String topic = Broker.topic("migrates", 4);
        String group = Broker.name("migrates-group");
        Set<TopicPartition> all = partitions(topic, 4);
        produce(topic, 4, 0, 100);
        try (Member old = classic(group, to(topic), assignor); Admin admin = Broker.admin()) {
            Broker.waitUntil("the classic member owns all", () -> old.owned().equals(all));
            Broker.waitUntil("the first 100", () -> old.values.size() == 100);
            assertEquals(GroupType.CLASSIC, describe(admin, group).type());

            Member modern = consumer(group, to(topic));
            share(old, modern, all, "both own two partitions each");
            ConsumerGroupDescription description = describe(admin, group);
            assertEquals(GroupType.CONSUMER, description.type());
            assertEquals(1, description.members().stream().filter(m -> m.upgraded().orElseThrow()).count());
            produce(topic, 4, 100, 200);
            Broker.waitUntil("the second 100 between the two", () -> {
                Set<String> seen = new HashSet<>(old.values);
                seen.addAll(modern.values);
                return seen.size() == 200;
            });
            assertTrue(modern.values.size() >= 50, "the new member read its share: " + modern.values.size());
            modern.close();

            Broker.waitUntil("the classic member owns all again", () -> old.owned().equals(all));
            Broker.waitUntil("a classic group again", () -> describe(admin, group).type() == GroupType.CLASSIC);
            produce(topic, 4, 200, 300);
            Broker.waitUntil("all committed", () -> committed(admin, group) == 300);
        }
    }

    @Test
    void an_empty_group_changes_its_protocol_and_keeps_its_offsets() throws Exception {
        String topic = Broker.topic("changes", 1);
        String group = Broker.name("changes-group");
        for (int round = 0; round < 4; round++) {
            produce(topic, 1, round * 10, round * 10 + 10);
            String protocol = round % 2 == 0 ? "consumer" : "classic";
            try (Member member = new Member(group, to(topic), "group.protocol", protocol); Admin admin = Broker.admin()) {
                long expected = round * 10L + 10;
                Broker.waitUntil("ten more with " + protocol, () -> {
                    member.owned();
                    return committed(admin, group) == expected;
                });
                assertEquals(10, member.values.size(), "none of those before");
            }
        }
    }

    private static Throwable pollFailure(Consumer<KafkaConsumer<String, String>> subscribe, Object... settings) {
        try (KafkaConsumer<String, String> consumer = Broker.consumer(settings)) {
            subscribe.accept(consumer);
            Throwable[] failure = new Throwable[1];
            Broker.waitUntil("the poll fails", () -> {
                try {
                    consumer.poll(Duration.ofMillis(100));
                    return false;
                } catch (Exception error) {
                    failure[0] = error;
                    return true;
                }
            });
            return failure[0];
        }
    }

    @Test
    void a_wrong_pattern_and_an_unknown_assignor_are_refused_by_name() throws Exception {
        String topic = Broker.topic("refused", 1);
        Throwable pattern = pollFailure(
                consumer -> consumer.subscribe(new SubscriptionPattern("(")),
                "group.id", Broker.name("refused-group"), "group.protocol", "consumer");
        assertInstanceOf(InvalidRegularExpression.class, pattern);
        Throwable assignor = pollFailure(
                consumer -> consumer.subscribe(List.of(topic)),
                "group.id", Broker.name("refused-group"), "group.protocol", "consumer",
                "group.remote.assignor", "sticky");
        assertInstanceOf(UnsupportedAssignorException.class, assignor);
    }

    @Test
    void offsets_can_be_set_by_an_administrator_only_while_nobody_is_in_the_group() throws Exception {
        String topic = Broker.topic("reset848", 1);
        String group = Broker.name("reset848-group");
        TopicPartition partition = new TopicPartition(topic, 0);
        produce(topic, 1, 0, 10);
        try (Admin admin = Broker.admin()) {
            try (Member member = consumer(group, to(topic))) {
                Broker.waitUntil("all committed", () -> {
                    member.owned();
                    return committed(admin, group) == 10;
                });
                try {
                    admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(3))).all().get();
                    throw new AssertionError("the group has a member");
                } catch (ExecutionException refused) {
                    assertEquals("UnknownMemberIdException", refused.getCause().getClass().getSimpleName());
                }
            }
            Broker.waitUntil("it is empty", () -> describe(admin, group).groupState() == GroupState.EMPTY);
            admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(3))).all().get();
            assertEquals(3, committed(admin, group));
        }
    }
}
