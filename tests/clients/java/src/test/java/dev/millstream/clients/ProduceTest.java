package dev.millstream.clients;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ProduceTest {
    @ParameterizedTest
    @ValueSource(strings = {"all", "1"})
    void acknowledged_records_have_consecutive_offsets_and_are_read_back(String acks) throws Exception {
        String topic = Broker.topic("produce", 1);
        List<Future<RecordMetadata>> sends = new ArrayList<>();
        try (KafkaProducer<String, String> producer =
                Broker.producer("acks", acks, "enable.idempotence", acks.equals("all"))) {
            for (int i = 0; i < 1000; i++) {
                sends.add(producer.send(new ProducerRecord<>(topic, "k" + i, "v" + i)));
            }
            producer.flush();
            for (int i = 0; i < sends.size(); i++) {
                assertEquals(i, sends.get(i).get().offset());
            }
        }
        if (acks.equals("1")) {
            // acks=1 may be answered before the record is durable, and only then is it readable.
            Broker.waitUntil("1000 records", () -> Broker.readAll(topic, "read_uncommitted").size() == 1000);
        }
        List<ConsumerRecord<String, String>> read = Broker.readAll(topic, "read_uncommitted");
        assertEquals(1000, read.size());
        for (int i = 0; i < read.size(); i++) {
            assertEquals(i, read.get(i).offset());
            assertEquals("k" + i, read.get(i).key());
            assertEquals("v" + i, read.get(i).value());
        }
    }

    @Test
    void acks_zero_is_answered_by_nobody_and_stored_all_the_same() throws Exception {
        String topic = Broker.topic("produce-acks-0", 1);
        try (KafkaProducer<String, String> producer = Broker.producer("acks", "0", "enable.idempotence", false)) {
            for (int i = 0; i < 100; i++) {
                producer.send(new ProducerRecord<>(topic, "v" + i)).get();
            }
        }
        Broker.waitUntil(
                "100 records", () -> Broker.readAll(topic, "read_uncommitted").size() == 100);
    }

    @Test
    void an_idempotent_producer_keeps_the_order_of_many_batches_in_flight() throws Exception {
        String topic = Broker.topic("idempotent", 3);
        try (KafkaProducer<String, String> producer = Broker.producer(
                "enable.idempotence", true, "max.in.flight.requests.per.connection", 5, "batch.size", 512)) {
            for (int i = 0; i < 3000; i++) {
                producer.send(new ProducerRecord<>(topic, i % 3, null, Integer.toString(i)));
            }
        }
        Map<Integer, Integer> last = new HashMap<>();
        List<ConsumerRecord<String, String>> read = Broker.readAll(topic, "read_uncommitted");
        assertEquals(3000, read.size());
        for (ConsumerRecord<String, String> record : read) {
            int value = Integer.parseInt(record.value());
            assertTrue(value > last.getOrDefault(record.partition(), -1), "order of partition " + record.partition());
            last.put(record.partition(), value);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"none", "gzip", "snappy", "lz4", "zstd"})
    void every_codec_round_trips_keys_values_headers_and_nulls(String codec) throws Exception {
        String topic = Broker.topic("codec-" + codec, 1);
        String large = "abcdefghij".repeat(5_000);
        try (KafkaProducer<String, String> producer =
                Broker.producer("compression.type", codec, "linger.ms", 20, "batch.size", 200_000)) {
            ProducerRecord<String, String> full = new ProducerRecord<>(topic, 0, 1_700_000_000_123L, "key", large);
            full.headers().add("trace", Broker.bytes("a1"));
            full.headers().add("trace", Broker.bytes("a2"));
            full.headers().add("empty", new byte[0]);
            full.headers().add("null", null);
            producer.send(full);
            producer.send(new ProducerRecord<>(topic, 0, null, null));
            for (int i = 0; i < 200; i++) {
                producer.send(new ProducerRecord<>(topic, 0, "k" + i, "订单-" + i));
            }
        }
        List<ConsumerRecord<String, String>> read = Broker.readAll(topic, "read_uncommitted");
        assertEquals(202, read.size());
        ConsumerRecord<String, String> full = read.get(0);
        assertEquals("key", full.key());
        assertEquals(large, full.value());
        assertEquals(1_700_000_000_123L, full.timestamp());
        assertEquals(TimestampType.CREATE_TIME, full.timestampType());
        Header[] headers = full.headers().toArray();
        assertEquals(List.of("trace", "trace", "empty", "null"),
                java.util.Arrays.stream(headers).map(Header::key).toList());
        assertArrayEquals(Broker.bytes("a2"), headers[1].value());
        assertArrayEquals(new byte[0], headers[2].value());
        assertNull(headers[3].value());
        assertNull(read.get(1).key());
        assertNull(read.get(1).value());
        assertEquals("订单-199", read.get(201).value());
    }

    @Test
    void a_record_above_max_message_bytes_is_refused_and_the_producer_goes_on() throws Exception {
        String topic = Broker.topic("too-large", 1, Map.of("max.message.bytes", "10000"));
        try (KafkaProducer<String, String> producer = Broker.producer()) {
            Throwable failure = Broker.failure(
                    () -> producer.send(new ProducerRecord<>(topic, "x".repeat(20_000))).get());
            assertInstanceOf(RecordTooLargeException.class, failure);
            assertEquals(0, producer.send(new ProducerRecord<>(topic, "small")).get().offset());
        }
    }

    @Test
    void log_append_time_replaces_the_producers_timestamp() throws Exception {
        String topic = Broker.topic("append-time", 1, Map.of("message.timestamp.type", "LogAppendTime"));
        long before = System.currentTimeMillis();
        try (KafkaProducer<String, String> producer = Broker.producer()) {
            RecordMetadata stored = producer.send(new ProducerRecord<>(topic, 0, 1000L, "k", "v")).get();
            assertTrue(stored.timestamp() >= before, "timestamp " + stored.timestamp());
        }
        ConsumerRecord<String, String> read = Broker.readAll(topic, "read_uncommitted").get(0);
        assertEquals(TimestampType.LOG_APPEND_TIME, read.timestampType());
        assertTrue(read.timestamp() >= before, "timestamp " + read.timestamp());
    }

    @Test
    void producing_to_and_reading_from_two_hundred_partitions_works() throws Exception {
        String topic = Broker.topic("wide", 200);
        List<Future<RecordMetadata>> sends = new ArrayList<>();
        try (KafkaProducer<String, String> producer = Broker.producer()) {
            for (int i = 0; i < 1000; i++) {
                sends.add(producer.send(new ProducerRecord<>(topic, i % 200, null, "v" + i)));
            }
        }
        for (int i = 0; i < sends.size(); i++) {
            RecordMetadata stored = sends.get(i).get();
            assertEquals(i % 200, stored.partition());
            assertEquals(i / 200, stored.offset());
        }
        assertEquals(1000, Broker.readAll(topic, "read_uncommitted").size());
    }
}
