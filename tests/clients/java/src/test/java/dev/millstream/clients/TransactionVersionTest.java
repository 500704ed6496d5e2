package dev.millstream.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidTxnStateException;
import org.junit.jupiter.api.Test;

/** `transaction.version` 2 (KIP-890), which this client speaks as soon as a broker announces it. */
class TransactionVersionTest {
    private static KafkaProducer<String, String> transactional(String id, Object... settings) {
        Object[] all = new Object[settings.length + 2];
        all[0] = "transactional.id";
        all[1] = id;
        System.arraycopy(settings, 0, all, 2, settings.length);
        KafkaProducer<String, String> producer = Broker.producer(all);
        producer.initTransactions();
        return producer;
    }

    private static TransactionDescription describe(Admin admin, String id) {
        try {
            return admin.describeTransactions(Set.of(id)).description(id).get();
        } catch (Exception error) {
            throw new AssertionError(error);
        }
    }

    private static List<ProducerState> producers(Admin admin, TopicPartition partition) throws Exception {
        return admin.describeProducers(Set.of(partition))
                .partitionResult(partition)
                .get()
                .activeProducers();
    }

    @Test
    void the_broker_announces_version_2() throws Exception {
        try (Admin admin = Broker.admin()) {
            var features = admin.describeFeatures().featureMetadata().get();
            assertEquals(2, features.finalizedFeatures().get("transaction.version").maxVersionLevel());
            assertTrue(features.finalizedFeaturesEpoch().isPresent());
        }
    }

    @Test
    void the_epoch_rises_with_every_transaction_whether_it_commits_or_aborts() throws Exception {
        String topic = Broker.topic("epochs", 3);
        String id = Broker.name("epochs-id");
        try (Admin admin = Broker.admin();
                KafkaProducer<String, String> producer = transactional(id)) {
            assertEquals(0, describe(admin, id).producerEpoch());
            for (int round = 0; round < 6; round++) {
                producer.beginTransaction();
                for (int partition = 0; partition < 3; partition++) {
                    producer.send(new ProducerRecord<>(topic, partition, null, "v" + round)).get();
                }
                assertEquals(TransactionState.ONGOING, describe(admin, id).state());
                assertEquals(round, describe(admin, id).producerEpoch());
                if (round % 2 == 0) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                }
                assertEquals(round + 1, describe(admin, id).producerEpoch());
                for (int partition = 0; partition < 3; partition++) {
                    TopicPartition at = new TopicPartition(topic, partition);
                    int epoch = round + 1;
                    Broker.waitUntil("the marker with the new epoch", () -> {
                        try {
                            return producers(admin, at).get(0).producerEpoch() == epoch;
                        } catch (Exception error) {
                            throw new AssertionError(error);
                        }
                    });
                }
            }
        }
        assertEquals(9, Broker.readAll(topic, "read_committed").size());
    }

    @Test
    void two_hundred_short_transactions_with_offsets_copy_everything_once() throws Exception {
        String input = Broker.topic("short-in", 1);
        String output = Broker.topic("short-out", 4);
        String group = Broker.name("short-group");
        TopicPartition from = new TopicPartition(input, 0);
        try (KafkaProducer<String, String> seed = Broker.producer()) {
            for (int i = 0; i < 200; i++) {
                seed.send(new ProducerRecord<>(input, "v" + i));
            }
        }
        try (KafkaConsumer<String, String> consumer = Broker.consumer("group.id", group, "max.poll.records", 1);
                KafkaProducer<String, String> producer = transactional(Broker.name("short-id"), "linger.ms", 0)) {
            consumer.subscribe(List.of(input));
            int[] copied = {0};
            Broker.waitUntil("200 transactions", () -> {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    producer.beginTransaction();
                    producer.send(new ProducerRecord<>(output, copied[0] % 4, null, record.value()));
                    producer.sendOffsetsToTransaction(
                            Map.of(from, new OffsetAndMetadata(record.offset() + 1)), consumer.groupMetadata());
                    // Each seventh is given up, and done again.
                    if (copied[0] % 7 == 3) {
                        producer.abortTransaction();
                        producer.beginTransaction();
                        producer.send(new ProducerRecord<>(output, copied[0] % 4, null, record.value()));
                        producer.sendOffsetsToTransaction(
                                Map.of(from, new OffsetAndMetadata(record.offset() + 1)), consumer.groupMetadata());
                    }
                    producer.commitTransaction();
                    copied[0]++;
                }
                return copied[0] == 200;
            });
            Broker.waitUntil("the last offset", () -> {
                OffsetAndMetadata committed = consumer.committed(Set.of(from)).get(from);
                return committed != null && committed.offset() == 200;
            });
        }
        Broker.waitUntil("the last marker", () -> Broker.readAll(output, "read_committed").size() == 200);
        List<String> values = Broker.values(Broker.readAll(output, "read_committed"));
        assertEquals(200, new HashSet<>(values).size());
    }

    @Test
    void a_producer_whose_transaction_timed_out_cannot_commit_it_and_its_successor_goes_on() throws Exception {
        String topic = Broker.topic("timed-out", 1);
        String id = Broker.name("timed-out-id");
        KafkaProducer<String, String> late = transactional(
                id, "transaction.timeout.ms", 1000, "delivery.timeout.ms", 900, "request.timeout.ms", 800, "linger.ms", 0);
        try (Admin admin = Broker.admin()) {
            late.beginTransaction();
            late.send(new ProducerRecord<>(topic, "too late")).get();
            int before = describe(admin, id).producerEpoch();
            Broker.waitUntil("the abort", () -> describe(admin, id).state() == TransactionState.COMPLETE_ABORT);
            assertEquals(before + 1, describe(admin, id).producerEpoch());
            KafkaException refused = assertThrows(KafkaException.class, late::commitTransaction);
            assertTrue(refused instanceof InvalidTxnStateException, refused.toString());
        } finally {
            late.close(Duration.ZERO);
        }
        try (KafkaProducer<String, String> next = transactional(id)) {
            next.beginTransaction();
            next.send(new ProducerRecord<>(topic, "in time"));
            next.commitTransaction();
        }
        Broker.waitUntil("the marker", () -> Broker.readAll(topic, "read_committed").size() == 1);
        assertEquals(List.of("in time"), Broker.values(Broker.readAll(topic, "read_committed")));
    }

    @Test
    void a_producer_whose_transaction_timed_out_aborts_it_and_goes_on() throws Exception {
        String topic = Broker.topic("recovers", 1);
        String id = Broker.name("recovers-id");
        try (Admin admin = Broker.admin();
                KafkaProducer<String, String> producer = transactional(
                        id, "transaction.timeout.ms", 1000, "delivery.timeout.ms", 900, "request.timeout.ms", 800,
                        "linger.ms", 0)) {
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "too late")).get();
            Broker.waitUntil("the abort", () -> describe(admin, id).state() == TransactionState.COMPLETE_ABORT);
            producer.abortTransaction();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "in time"));
            producer.commitTransaction();
            assertEquals(2, describe(admin, id).producerEpoch());
        }
        Broker.waitUntil("the marker", () -> Broker.readAll(topic, "read_committed").size() == 1);
        assertEquals(List.of("in time"), Broker.values(Broker.readAll(topic, "read_committed")));
    }

    @Test
    void a_timeout_above_the_brokers_maximum_is_refused() {
        KafkaException refused = assertThrows(
                KafkaException.class, () -> transactional(Broker.name("long"), "transaction.timeout.ms", 900_001));
        assertTrue(refused.toString().contains("timeout"), refused.toString());
    }

    @Test
    void transactions_are_listed_by_state_and_pattern() throws Exception {
        String topic = Broker.topic("listed", 1);
        String prefix = Broker.name("listed-id");
        try (Admin admin = Broker.admin();
                KafkaProducer<String, String> open = transactional(prefix + "-open");
                KafkaProducer<String, String> idle = transactional(prefix + "-idle")) {
            open.beginTransaction();
            open.send(new ProducerRecord<>(topic, "v")).get();
            var mine = new ListTransactionsOptions().filterOnTransactionalIdPattern(prefix + "-.*");
            assertEquals(
                    Set.of(prefix + "-open", prefix + "-idle"),
                    ids(admin, mine));
            assertEquals(Set.of(prefix + "-open"), ids(admin, mine.filterStates(Set.of(TransactionState.ONGOING))));
            assertEquals(Set.of(), ids(admin, new ListTransactionsOptions().filterOnTransactionalIdPattern(prefix)));
            open.abortTransaction();
        }
    }

    private static Set<String> ids(Admin admin, ListTransactionsOptions options) throws Exception {
        Set<String> ids = new HashSet<>();
        for (TransactionListing listing : admin.listTransactions(options).all().get()) {
            ids.add(listing.transactionalId());
        }
        return ids;
    }

    @Test
    void an_operator_aborts_an_open_transaction_of_one_partition() throws Exception {
        String topic = Broker.topic("operated", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Admin admin = Broker.admin();
                KafkaProducer<String, String> open = transactional(Broker.name("operated-id"));
                KafkaProducer<String, String> plain = Broker.producer()) {
            open.beginTransaction();
            open.send(new ProducerRecord<>(topic, "hangs")).get();
            plain.send(new ProducerRecord<>(topic, "plain")).get();
            assertEquals(List.of(), Broker.readAll(topic, "read_committed"));
            ProducerState hanging = producers(admin, partition).stream()
                    .filter(state -> state.currentTransactionStartOffset().isPresent())
                    .findFirst()
                    .orElseThrow();
            admin.abortTransaction(new AbortTransactionSpec(
                            partition,
                            hanging.producerId(),
                            (short) hanging.producerEpoch(),
                            hanging.coordinatorEpoch().orElse(0)))
                    .all()
                    .get();
            Broker.waitUntil("the last stable offset", () -> !Broker.readAll(topic, "read_committed").isEmpty());
            assertEquals(List.of("plain"), Broker.values(Broker.readAll(topic, "read_committed")));
            open.abortTransaction();
        }
    }

    /** What Flink's exactly-once sink does after a failure: an InitProducerId would abort what it has to commit. */
    @Test
    void a_stored_producer_id_and_epoch_commit_the_transaction_of_a_producer_that_is_gone() throws Exception {
        String topic = Broker.topic("resumed", 2);
        String id = Broker.name("resumed-id");
        long producerId;
        short epoch;
        KafkaProducer<String, String> first = transactional(id);
        try (Admin admin = Broker.admin()) {
            first.beginTransaction();
            first.send(new ProducerRecord<>(topic, 0, null, "left")).get();
            first.send(new ProducerRecord<>(topic, 1, null, "behind")).get();
            TransactionDescription stored = describe(admin, id);
            producerId = stored.producerId();
            epoch = (short) stored.producerEpoch();
            // As a crash: nothing is said to the broker.
            first.close(Duration.ZERO);
            assertEquals(TransactionState.ONGOING, describe(admin, id).state());
        }
        try (KafkaProducer<String, String> resumed = Broker.producer("transactional.id", id)) {
            resume(resumed, producerId, epoch);
            resumed.commitTransaction();
        }
        Broker.waitUntil("both markers", () -> Broker.readAll(topic, "read_committed").size() == 2);
        // A second recovery from the same checkpoint commits once more, and changes nothing.
        try (KafkaProducer<String, String> again = Broker.producer("transactional.id", id)) {
            resume(again, producerId, epoch);
            again.commitTransaction();
        }
        assertEquals(2, Broker.readAll(topic, "read_committed").size());
    }

    private static void resume(KafkaProducer<?, ?> producer, long producerId, short epoch) throws Exception {
        Object manager = field(producer.getClass(), "transactionManager").get(producer);
        Class<?> type = manager.getClass();
        Class<?> states = Class.forName(type.getName() + "$State");
        Field stored = field(type, "producerIdAndEpoch");
        synchronized (manager) {
            transit(manager, states, "INITIALIZING");
            var made = stored.getType().getDeclaredConstructor(long.class, short.class);
            made.setAccessible(true);
            stored.set(manager, made.newInstance(producerId, epoch));
            // A transaction ends as the version that it began as. Left to the client, it ends
            // as version 1 and, if the broker's features have come by then, a bump of the epoch
            // follows, which fences the stored one: now and then, on Kafka too.
            field(type, "isTransactionV2Enabled").set(manager, true);
            transit(manager, states, "READY");
            transit(manager, states, "IN_TRANSACTION");
            field(type, "transactionStarted").set(manager, true);
        }
    }

    private static Field field(Class<?> type, String name) throws Exception {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static void transit(Object manager, Class<?> states, String state) throws Exception {
        Method transit = manager.getClass().getDeclaredMethod("transitionTo", states);
        transit.setAccessible(true);
        transit.invoke(manager, Enum.valueOf((Class) states, state));
    }
}
