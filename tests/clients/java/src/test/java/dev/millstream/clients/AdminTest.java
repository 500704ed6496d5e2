package dev.millstream.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class AdminTest {
    private static final Set<ConfigEntry.ConfigSource> OF_THE_TOPIC =
            Set.of(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
    /** Where the broker's own configuration names the setting, that is its source. */
    private static final Set<ConfigEntry.ConfigSource> OF_THE_BROKER =
            Set.of(ConfigEntry.ConfigSource.DEFAULT_CONFIG, ConfigEntry.ConfigSource.STATIC_BROKER_CONFIG);

    private static Admin admin;

    @BeforeAll
    static void open() {
        admin = Broker.admin();
    }

    @AfterAll
    static void close() {
        admin.close();
    }

    private static TopicDescription describe(String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    private static void produce(String topic, int n) {
        try (KafkaProducer<String, String> producer = Broker.producer()) {
            for (int i = 0; i < n; i++) {
                producer.send(new ProducerRecord<>(topic, 0, 1_000_000L + i, null, "v" + i));
            }
        }
    }

    @Test
    void the_cluster_has_an_id_a_controller_and_this_node() throws Exception {
        var cluster = admin.describeCluster();
        assertFalse(cluster.clusterId().get().isEmpty());
        assertEquals(1, cluster.nodes().get().size());
        var node = cluster.nodes().get().iterator().next();
        assertEquals(Broker.bootstrap(), node.host() + ":" + node.port());
        assertEquals(node.id(), cluster.controller().get().id());
    }

    @Test
    void a_topic_is_created_listed_described_and_deleted() throws Exception {
        String topic = Broker.name("life");
        var created = admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1)));
        created.all().get();
        assertEquals(3, created.numPartitions(topic).get());
        assertEquals(1, created.replicationFactor(topic).get());
        Uuid id = created.topicId(topic).get();
        assertNotEquals(Uuid.ZERO_UUID, id);

        Broker.waitForTopic(admin, topic);
        assertTrue(admin.listTopics().names().get().contains(topic));
        TopicDescription description = describe(topic);
        assertEquals(id, description.topicId());
        assertFalse(description.isInternal());
        assertEquals(List.of(0, 1, 2), description.partitions().stream().map(p -> p.partition()).toList());
        description.partitions().forEach(partition -> {
            assertEquals(1, partition.replicas().size());
            assertEquals(partition.replicas(), partition.isr());
            assertEquals(partition.leader(), partition.replicas().get(0));
        });
        assertEquals(id, admin.describeTopics(org.apache.kafka.common.TopicCollection.ofTopicIds(List.of(id)))
                .allTopicIds().get().get(id).topicId());

        admin.deleteTopics(List.of(topic)).all().get();
        Broker.waitUntil("gone from the list", () -> {
            try {
                return !admin.listTopics().names().get().contains(topic);
            } catch (Exception error) {
                throw new AssertionError(error);
            }
        });
        assertInstanceOf(UnknownTopicOrPartitionException.class, Broker.failure(() -> describe(topic)));
        assertInstanceOf(UnknownTopicOrPartitionException.class,
                Broker.failure(() -> admin.deleteTopics(List.of(topic)).all().get()));

        admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
        Broker.waitForTopic(admin, topic);
        assertNotEquals(id, describe(topic).topicId(), "a topic of the same name is another topic");
        assertEquals(0, Broker.readAll(topic, "read_uncommitted").size());
    }

    @Test
    void a_topic_that_cannot_be_is_refused_with_the_reason() throws Exception {
        String topic = Broker.topic("taken", 1);
        assertInstanceOf(TopicExistsException.class, create(new NewTopic(topic, 1, (short) 1)));
        assertInstanceOf(InvalidTopicException.class, create(new NewTopic("not/a topic", 1, (short) 1)));
        assertInstanceOf(InvalidPartitionsException.class, create(new NewTopic(Broker.name("none"), 0, (short) 1)));
        assertInstanceOf(InvalidReplicationFactorException.class,
                create(new NewTopic(Broker.name("three"), 1, (short) 3)));
        assertInstanceOf(InvalidConfigurationException.class,
                create(new NewTopic(Broker.name("bad"), 1, (short) 1).configs(Map.of("retention.ms", "soon"))));
        assertInstanceOf(InvalidConfigurationException.class,
                create(new NewTopic(Broker.name("odd"), 1, (short) 1).configs(Map.of("no.such.setting", "1"))));
    }

    private static Throwable create(NewTopic topic) throws Exception {
        return Broker.failure(() -> admin.createTopics(List.of(topic)).all().get());
    }

    @Test
    void validate_only_creates_nothing() throws Exception {
        String topic = Broker.name("dry");
        admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1)), new CreateTopicsOptions().validateOnly(true))
                .all()
                .get();
        assertFalse(admin.listTopics().names().get().contains(topic));
    }

    private static ConfigEntry config(String topic, String key) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        return config.get(key);
    }

    private static void alter(String topic, String key, String value, AlterConfigOp.OpType op) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry(key, value), op))))
                .all()
                .get();
    }

    /** The metadata reaches the broker's view shortly after the controller's answer. */
    private static void waitForConfig(String topic, String key, String value, Set<ConfigEntry.ConfigSource> sources) {
        Broker.waitUntil(key + " = " + value + " from " + sources, () -> {
            try {
                ConfigEntry entry = config(topic, key);
                return value.equals(entry.value()) && sources.contains(entry.source());
            } catch (Exception error) {
                throw new AssertionError(error);
            }
        });
    }

    @Test
    void topic_settings_tell_value_default_and_source_and_can_be_altered_one_by_one() throws Exception {
        String topic = Broker.topic("configured", 1, Map.of("segment.ms", "3600000"));
        assertEquals("3600000", config(topic, "segment.ms").value());
        assertEquals(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, config(topic, "segment.ms").source());
        assertEquals("delete", config(topic, "cleanup.policy").value());
        assertTrue(config(topic, "cleanup.policy").isDefault());

        alter(topic, "segment.ms", "7200000", AlterConfigOp.OpType.SET);
        alter(topic, "max.message.bytes", "200000", AlterConfigOp.OpType.SET);
        waitForConfig(topic, "segment.ms", "7200000", OF_THE_TOPIC);
        waitForConfig(topic, "max.message.bytes", "200000", OF_THE_TOPIC);

        alter(topic, "segment.ms", "", AlterConfigOp.OpType.DELETE);
        waitForConfig(topic, "segment.ms", "604800000", OF_THE_BROKER);
        assertEquals("200000", config(topic, "max.message.bytes").value());

        assertInstanceOf(InvalidConfigurationException.class,
                Broker.failure(() -> alter(topic, "cleanup.policy", "burn", AlterConfigOp.OpType.SET)));
    }

    @Test
    void the_brokers_own_settings_are_described() throws Exception {
        String id = admin.describeCluster().nodes().get().iterator().next().idString();
        ConfigResource resource = new ConfigResource(ConfigResource.Type.BROKER, id);
        Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        assertFalse(config.entries().isEmpty());
    }

    @Test
    void partitions_can_be_added_and_never_removed() throws Exception {
        String topic = Broker.topic("growing", 2);
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
        Broker.waitUntil("five partitions", () -> {
            try {
                return describe(topic).partitions().size() == 5;
            } catch (Exception error) {
                throw new AssertionError(error);
            }
        });
        try (KafkaProducer<String, String> producer = Broker.producer()) {
            assertEquals(4, producer.send(new ProducerRecord<>(topic, 4, null, "new")).get().partition());
        }
        assertInstanceOf(InvalidPartitionsException.class, Broker.failure(
                () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(1))).all().get()));
    }

    @Test
    void deleted_records_are_gone_and_the_log_starts_where_asked() throws Exception {
        String topic = Broker.topic("purged", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        produce(topic, 100);
        long low = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(60)))
                .lowWatermarks().get(partition).get().lowWatermark();
        assertEquals(60, low);
        assertEquals(60, offset(partition, OffsetSpec.earliest()));
        List<String> left = Broker.values(Broker.readAll(topic, "read_uncommitted"));
        assertEquals(40, left.size());
        assertEquals("v60", left.get(0));
        assertInstanceOf(OffsetOutOfRangeException.class, Broker.failure(
                () -> admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(101))).all().get()));
        assertEquals(100, admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1)))
                .lowWatermarks().get(partition).get().lowWatermark());
    }

    private static long offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }

    @Test
    void offsets_are_listed_by_end_and_by_time() throws Exception {
        String topic = Broker.topic("offsets", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        assertEquals(0, offset(partition, OffsetSpec.latest()));
        assertEquals(-1, offset(partition, OffsetSpec.maxTimestamp()));
        produce(topic, 100);
        assertEquals(0, offset(partition, OffsetSpec.earliest()));
        assertEquals(100, offset(partition, OffsetSpec.latest()));
        assertEquals(42, offset(partition, OffsetSpec.forTimestamp(1_000_042L)));
        assertEquals(0, offset(partition, OffsetSpec.forTimestamp(1L)));
        assertEquals(-1, offset(partition, OffsetSpec.forTimestamp(2_000_000L)));
        assertEquals(99, offset(partition, OffsetSpec.maxTimestamp()));
    }

    @Test
    void an_unknown_topic_is_an_error_and_not_an_answer() throws Exception {
        String topic = Broker.name("nowhere");
        assertInstanceOf(UnknownTopicOrPartitionException.class, Broker.failure(() -> describe(topic)));
        assertEquals(Set.of(), Set.copyOf(admin.listTopics().names().get().stream().filter(topic::equals).toList()));
    }
}
