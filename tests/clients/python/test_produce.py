"""Producing: acknowledgements, idempotence, codecs, refusals."""

import pytest
from confluent_kafka import KafkaError
from servers import wait_until


class Reports:
    """Collects delivery reports."""

    def __init__(self):
        self.delivered, self.failed = [], []

    def __call__(self, error, message):
        if error is None:
            self.delivered.append(message)
        else:
            self.failed.append(error)


@pytest.mark.parametrize("acks", ["all", "1"])
def test_acknowledged_records_have_consecutive_offsets_and_are_read_back(broker, acks):
    topic = broker.topic("produce")
    producer, reports = broker.producer(acks=acks), Reports()
    for i in range(1000):
        producer.produce(topic, key=f"k{i}", value=f"v{i}", on_delivery=reports)
    assert producer.flush(30) == 0
    assert reports.failed == []
    assert [m.offset() for m in reports.delivered] == list(range(1000))
    if acks == "1":
        # May be answered before the record is durable, and only then is it readable.
        wait_until(lambda: len(broker.read_all(topic)) == 1000, "1000 records")
    read = broker.read_all(topic)
    assert [m.value() for m in read] == [b"v%d" % i for i in range(1000)]
    assert [m.offset() for m in read] == list(range(1000))


def test_acks_zero_is_stored_all_the_same(broker):
    topic = broker.topic("acks-zero")
    producer = broker.producer(acks="0")
    for i in range(100):
        producer.produce(topic, value=f"v{i}")
    assert producer.flush(30) == 0
    wait_until(lambda: len(broker.read_all(topic)) == 100, "100 records")


def test_an_idempotent_producer_keeps_the_order_of_many_batches_in_flight(broker):
    topic = broker.topic("idempotent", 3)
    producer, reports = broker.producer(enable_idempotence=True, batch_size=1024, linger_ms=0), Reports()
    for i in range(3000):
        producer.produce(topic, value=str(i), partition=i % 3, on_delivery=reports)
        producer.poll(0)
    assert producer.flush(30) == 0
    assert reports.failed == []
    for partition in range(3):
        values = [int(m.value()) for m in broker.read_all(topic) if m.partition() == partition]
        assert values == list(range(partition, 3000, 3))


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_round_trips_keys_values_headers_and_nulls(broker, codec):
    topic = broker.topic(f"codec-{codec}")
    producer = broker.producer(compression_type=codec, linger_ms=20)
    large = "abcdefghij" * 5000
    headers = [("trace", b"a1"), ("trace", b"a2"), ("empty", b""), ("null", None)]
    producer.produce(topic, key="key", value=large, headers=headers, timestamp=1_700_000_000_123)
    producer.produce(topic)
    for i in range(200):
        producer.produce(topic, key=f"k{i}", value=f"订单-{i}")
    assert producer.flush(30) == 0
    read = broker.read_all(topic)
    assert len(read) == 202
    assert read[0].key() == b"key"
    assert read[0].value() == large.encode()
    assert read[0].headers() == headers
    assert read[0].timestamp()[1] == 1_700_000_000_123
    assert (read[1].key(), read[1].value(), read[1].headers()) == (None, None, None)
    assert read[201].value() == "订单-199".encode()


def test_a_record_above_max_message_bytes_is_refused_and_the_producer_goes_on(broker):
    topic = broker.topic("too-large", max_message_bytes="10000")
    producer, reports = broker.producer(), Reports()
    producer.produce(topic, value=b"x" * 20_000, on_delivery=reports)
    producer.flush(30)
    assert [error.code() for error in reports.failed] == [KafkaError.MSG_SIZE_TOO_LARGE]
    producer.produce(topic, value=b"small", on_delivery=reports)
    assert producer.flush(30) == 0
    assert [m.offset() for m in reports.delivered] == [0]


def test_an_unknown_partition_is_an_error_of_that_record_only(broker):
    topic = broker.topic("two", 2)
    producer, reports = broker.producer(), Reports()
    producer.produce(topic, value=b"ok", partition=1, on_delivery=reports)
    assert producer.flush(30) == 0
    try:
        producer.produce(topic, value=b"nowhere", partition=7, on_delivery=reports)
        producer.flush(30)
        codes = [error.code() for error in reports.failed]
    except Exception as refused:  # known already from the metadata
        codes = [refused.args[0].code()]
    assert codes == [KafkaError._UNKNOWN_PARTITION]
    assert len(reports.delivered) == 1
