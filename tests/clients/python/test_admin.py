"""The administrator's requests, as librdkafka sends them."""

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions,
                                   NewTopic, OffsetSpec, ResourceType)
from confluent_kafka import TopicCollection
from servers import wait_until


def code_of(future):
    with pytest.raises(KafkaException) as failure:
        future.result(30)
    return failure.value.args[0].code()


def produce(broker, topic, n):
    producer = broker.producer()
    for i in range(n):
        producer.produce(topic, value=f"v{i}", partition=0, timestamp=1_000_000 + i)
    assert producer.flush(30) == 0


def test_the_cluster_has_an_id_a_controller_and_this_node(broker):
    cluster = broker.admin.describe_cluster().result(30)
    assert cluster.cluster_id
    assert [f"{node.host}:{node.port}" for node in cluster.nodes] == [broker.bootstrap]
    assert cluster.controller.id == cluster.nodes[0].id


def test_a_topic_is_created_listed_described_and_deleted(broker):
    topic = broker.topic("life", 3)
    assert topic in broker.admin.list_topics(timeout=30).topics
    description = broker.admin.describe_topics(TopicCollection([topic]))[topic].result(30)
    assert not description.is_internal
    assert [p.id for p in description.partitions] == [0, 1, 2]
    for partition in description.partitions:
        assert [n.id for n in partition.isr] == [n.id for n in partition.replicas] == [partition.leader.id]
    broker.admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in broker.admin.list_topics(timeout=30).topics, "gone from the list")
    assert code_of(broker.admin.delete_topics([topic])[topic]) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_a_topic_that_cannot_be_is_refused_with_the_reason(broker):
    taken = broker.topic("taken")
    cases = [
        (NewTopic(taken, 1, 1), KafkaError.TOPIC_ALREADY_EXISTS),
        (NewTopic("not/a topic", 1, 1), KafkaError.TOPIC_EXCEPTION),
        (NewTopic(broker.name("three"), 1, 3), KafkaError.INVALID_REPLICATION_FACTOR),
        (NewTopic(broker.name("bad"), 1, 1, config={"retention.ms": "soon"}), KafkaError.INVALID_CONFIG),
        (NewTopic(broker.name("odd"), 1, 1, config={"no.such.setting": "1"}), KafkaError.INVALID_CONFIG),
    ]
    for topic, code in cases:
        assert code_of(broker.admin.create_topics([topic])[topic.topic]) == code, topic


def config(broker, topic, key):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return broker.admin.describe_configs([resource])[resource].result(30)[key]


def alter(broker, topic, key, value, operation):
    entry = ConfigEntry(key, value, incremental_operation=operation)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    return broker.admin.incremental_alter_configs([resource])[resource]


def test_topic_settings_can_be_read_and_altered_one_by_one(broker):
    topic = broker.topic("configured", segment_ms="3600000")
    assert config(broker, topic, "segment.ms").value == "3600000"
    assert config(broker, topic, "cleanup.policy").value == "delete"
    assert config(broker, topic, "cleanup.policy").is_default
    alter(broker, topic, "segment.ms", "7200000", AlterConfigOpType.SET).result(30)
    wait_until(lambda: config(broker, topic, "segment.ms").value == "7200000", "the new age")
    alter(broker, topic, "segment.ms", None, AlterConfigOpType.DELETE).result(30)
    wait_until(lambda: config(broker, topic, "segment.ms").value == "604800000", "the default")
    refused = alter(broker, topic, "cleanup.policy", "burn", AlterConfigOpType.SET)
    assert code_of(refused) == KafkaError.INVALID_CONFIG


def test_partitions_can_be_added_and_never_removed(broker):
    topic = broker.topic("growing", 2)
    broker.admin.create_partitions([NewPartitions(topic, 5)])[topic].result(30)
    wait_until(lambda: len(broker.admin.list_topics(timeout=30).topics[topic].partitions) == 5, "five")
    assert code_of(broker.admin.create_partitions([NewPartitions(topic, 1)])[topic]) == KafkaError.INVALID_PARTITIONS


def test_deleted_records_are_gone_and_the_log_starts_where_asked(broker):
    topic = broker.topic("purged")
    produce(broker, topic, 100)
    request = TopicPartition(topic, 0, 60)
    assert broker.admin.delete_records([request])[request].result(30).low_watermark == 60
    consumer = broker.consumer()
    try:
        assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30) == (60, 100)
        consumer.assign([TopicPartition(topic, 0, 0)])  # out of range: earliest is 60 now
        read = []
        wait_until(lambda: read.extend(consumer.consume(100, 0.2)) or len(read) >= 40, "40 records")
        assert [m.offset() for m in read] == list(range(60, 100))
    finally:
        consumer.close()
    beyond = TopicPartition(topic, 0, 101)
    assert code_of(broker.admin.delete_records([beyond])[beyond]) == KafkaError.OFFSET_OUT_OF_RANGE


def test_offsets_are_listed_by_end_and_by_time(broker):
    topic = broker.topic("offsets")
    produce(broker, topic, 100)
    here = TopicPartition(topic, 0)
    cases = [(OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 100), (OffsetSpec.max_timestamp(), 99),
             (OffsetSpec.for_timestamp(1_000_042), 42), (OffsetSpec.for_timestamp(2_000_000), -1)]
    for spec, expected in cases:
        assert broker.admin.list_offsets({here: spec})[here].result(30).offset == expected, spec


def test_an_unknown_topic_is_an_error_and_not_an_answer(broker):
    topic = broker.name("nowhere")
    future = broker.admin.describe_topics(TopicCollection([topic]))[topic]
    assert code_of(future) == KafkaError.UNKNOWN_TOPIC_OR_PART
