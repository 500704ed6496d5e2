import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.apache.kafka.common.message.ApiMessageType;

/**
 * Random requests of one kind, mostly sensible: each has at most one oddity,
 * or what is compared would be which of two faults a server names first.
 */
final class Steps {
    private interface Step {
        void go() throws Exception;
    }

    private static final ObjectMapper MAPPER = new ObjectMapper();
    static final String NO_ID = "AAAAAAAAAAAAAAAAAAAAAA";
    /** A subscription of the consumer protocol, to "t1". */
    private static final byte[] SUBSCRIPTION = Base64.getDecoder().decode("AAAAAAABAAJ0MQAAAAA=");
    private static final byte[] NO_PARTITIONS = new byte[10];
    private static final int NONE = 0;
    private static final int MEMBER_ID_REQUIRED = 79;

    /** Ends the names of this run's topics, groups and transactional ids. */
    final String run;
    private final Differential differential;
    private final Random random;
    private final String set;
    private boolean mayBeOdd;
    private int created;
    private int lastGeneration = 1;
    private final Map<String, Integer> sequences = new HashMap<>();
    private final Map<String, Integer> memberEpochs = new HashMap<>();
    /** Topics whose records were deleted. */
    private final Set<String> cut = new HashSet<>();
    /** Classic groups that have a member, or have given out an id. */
    private final Set<String> members = new HashSet<>();

    Steps(Differential differential, String set, int seed) {
        this.differential = differential;
        this.set = set;
        this.random = new Random(seed);
        this.run = "-" + set + seed + "-" + System.currentTimeMillis() % 1_000_000;
    }

    void go(int steps) throws Exception {
        prepare();
        List<Step> choice = switch (set) {
            case "data" -> List.of(
                this::produce, this::produce, this::produce, this::fetch, this::fetch, this::fetch,
                this::listOffsets, this::epochEnd, this::deleteRecords, this::initProducer, this::describeProducers,
                this::describeLogDirs);
            case "transactions" -> List.of(
                this::produce, this::produce, this::initProducer, this::addPartitions, this::addPartitions,
                this::addOffsets, this::endTransaction, this::endTransaction, this::commitInTransaction,
                this::commitInTransaction, this::fetchOffsets, this::fetch, this::listOffsets,
                this::describeProducers, this::describeTransactions, this::listTransactions);
            case "groups" -> List.of(
                this::join, this::join, this::join, this::sync, this::sync, this::heartbeat, this::leave,
                this::commitOffsets, this::fetchOffsets, this::deleteOffsets, this::describeGroups, this::listGroups,
                this::deleteGroups, this::findCoordinator, this::commitInTransaction);
            case "consumer-groups" -> List.of(
                this::consumerHeartbeat, this::consumerHeartbeat, this::consumerHeartbeat,
                this::describeConsumerGroups, this::commitOffsets, this::fetchOffsets, this::listGroups,
                this::deleteGroups, this::heartbeat, this::leave);
            case "settings" -> List.of(
                this::createTopic, this::createTopic, this::deleteTopic, this::createPartitions, this::changeConfigs,
                this::changeConfigs, this::replaceConfigs, this::describeConfigs, this::describeConfigs,
                this::metadata, this::describeTopics);
            default -> throw new IllegalArgumentException(
                set + ": data, transactions, groups, consumer-groups or settings");
        };
        for (int i = 0; i < steps; i++) {
            mayBeOdd = random.nextBoolean();
            choice.get(random.nextInt(choice.size())).go();
        }
    }

    private void prepare() throws Exception {
        ask(ApiMessageType.CREATE_TOPICS, 7, newTopic("t1" + run, 1, object()));
        ask(ApiMessageType.CREATE_TOPICS, 7, newTopic("t3" + run, 3, object("max.message.bytes", "20000")));
        ask(ApiMessageType.CREATE_TOPICS, 7, newTopic("compacted" + run, 1, object("cleanup.policy", "compact")));
        ObjectNode stamped = object("message.timestamp.type", "LogAppendTime", "compression.type", "gzip");
        ask(ApiMessageType.CREATE_TOPICS, 7, newTopic("stamped" + run, 1, stamped));
        for (int type = 0; type < 2; type++) {
            // Also creates the coordinators' topics where they are not yet there.
            ArrayNode keys = type == 0 ? array("g1" + run, "g2" + run) : array("x1" + run, "x2" + run);
            ask(ApiMessageType.FIND_COORDINATOR, 6, object("key", "", "keyType", type, "coordinatorKeys", keys));
        }
        Thread.sleep(BEGINNING_IS_KNOWN_MS);
    }

    // ---- Choices

    private JsonNode ask(ApiMessageType api, int version, ObjectNode request) throws Exception {
        return differential.both(api, version, request);
    }

    private boolean chance(double of) {
        return random.nextDouble() < of;
    }

    /** Whether to be odd here; at most once in a request. */
    private boolean odd(double often) {
        boolean is = mayBeOdd && chance(often);
        mayBeOdd &= !is;
        return is;
    }

    @SafeVarargs
    private final <T> T one(T... of) {
        return of[random.nextInt(of.length)];
    }

    private int version(int oldest, int newest) {
        return chance(0.3) ? newest : oldest + random.nextInt(newest - oldest + 1);
    }

    private String topic() {
        return odd(0.2) ? one("missing", "bad name!", "", "..", "x".repeat(250))
            : one("t1", "t3", "compacted", "stamped") + run;
    }

    private int partition() {
        return odd(0.2) ? one(1, 2, 3, -1, 99) : 0;
    }

    private int leaderEpoch() {
        return odd(0.2) ? one(0, 0, 1, 5, -2) : -1;
    }

    private String transaction() {
        return odd(0.05) ? "never" : one("x1", "x2") + run;
    }

    private String group() {
        return odd(0.05) ? one("never" + run, "") : one("g1", "g2") + run;
    }

    private boolean isConsumers() {
        return set.equals("consumer-groups");
    }

    private String member(String group) {
        return odd(0.2) ? one("", "stranger") : isConsumers() ? group + "-a" : "$member:" + group + ":a";
    }

    /** Of a classic group, or the epoch of its member in one of KIP-848. */
    private Object generation(String group) {
        if (isConsumers()) {
            return odd(0.3) ? 77 : "$epoch:" + group + "-a";
        }
        return odd(0.3) ? one(-1, 0, 1, 2, 3) : (Object) lastGeneration;
    }

    private String instance() {
        return odd(0.1) ? one("static", "other") : null;
    }

    private Object topicId(String topic) {
        return odd(0.03) ? NO_ID : "$id:" + topic;
    }

    // ---- Records

    private String batch(String producer, String topic, int partition) {
        if (odd(0.03)) {
            return "@batch:kind=empty";
        }
        int count = one(1, 1, 2, 5);
        StringBuilder batch = new StringBuilder("@batch:n=" + count);
        if (chance(0.1)) {
            batch.append(",codec=").append(one("gzip", "lz4", "snappy", "zstd"));
        }
        // In a transaction it would be which is looked at first, it or the batch.
        boolean isTransactional = producer != null && producer.startsWith("x");
        if (!isTransactional && odd(0.3)) {
            batch.append(one(
                ",batches=2", ",crc=bad", ",magic=0", ",magic=1", ",base=5", ",key=null", ",val=null", ",size=25000",
                ",size=5000", ",size=0", ",attr=16", ",attr=32", ",attr=64", ",attr=128",
                ",ts=0", ",ts=99999999999999", ",stamped=1"));
        }
        if (producer != null) {
            String key = producer + topic + partition;
            int next = sequences.getOrDefault(key, 0);
            int sequence = next;
            if (odd(0.3)) {
                sequence = Math.max(0, one(next - count, next - 1, next + 1, 0, next - 2 * count, next + 100));
            } else {
                sequences.put(key, next + count);
            }
            batch.append(",pid=").append(producer).append(",seq=").append(sequence);
            if (producer.startsWith("x") != odd(0.05)) {
                batch.append(",tx=1");
            }
            if (odd(0.01)) {
                batch.append(",marker=1");
            }
        }
        return batch.toString();
    }

    private void produce() throws Exception {
        int version = version(3, 13);
        String producer = chance(0.35) ? null : chance(0.3) ? "idle" : one("x1", "x2") + run;
        ArrayNode topics = array();
        Set<String> named = new HashSet<>();
        int wanted = one(1, 1, 1, 2);
        // Of several partitions Kafka refuses all for what is wrong with one.
        mayBeOdd &= wanted == 1;
        for (int i = 0; i < wanted; i++) {
            String topic = topic();
            if (named.add(topic)) {
                int partition = partition();
                ArrayNode partitions = array(object("index", partition, "records", batch(producer, topic, partition)));
                topics.add(object("name", topic, "topicId", topicId(topic), "partitionData", partitions));
            }
        }
        String transaction = producer != null && producer.startsWith("x") ? producer : null;
        ask(ApiMessageType.PRODUCE, version, object(
            "transactionalId", transaction, "acks", transaction == null && odd(0.05) ? one(1, 2, -2) : -1,
            "timeoutMs", 5000, "topicData", topics));
    }

    private void fetch() throws Exception {
        int version = version(4, 18);
        boolean inSession = version >= 7 && chance(0.3);
        ArrayNode topics = array();
        Set<String> named = new HashSet<>();
        for (int i = one(1, 1, 2); i > 0; i--) {
            String topic = topic();
            if (named.add(topic)) {
                int lastEpoch = version >= 12 && odd(0.2) ? one(0, 0, 1, 5) : -1;
                ArrayNode partitions = array(object(
                    "partition", partition(), "currentLeaderEpoch", leaderEpoch(),
                    "fetchOffset", one(0, 0, 1, 2, 5, 10, -1, 1_000_000), "lastFetchedEpoch", lastEpoch,
                    "logStartOffset", -1, "partitionMaxBytes", one(1_000_000, 1_000_000, 1, 0),
                    "replicaDirectoryId", NO_ID, "highWatermark", Long.MAX_VALUE));
                topics.add(object("topic", topic, "topicId", topicId(topic), "partitions", partitions));
            }
        }
        ObjectNode request = object(
            "clusterId", null, "replicaId", -1, "maxWaitMs", one(0, 0, 20), "minBytes", one(0, 1, 1),
            "maxBytes", one(10_000_000, 10_000_000, 1, 0), "isolationLevel", one(0, 1),
            "sessionId", inSession ? one("$session", "$session", 0, 77) : (Object) 0,
            "sessionEpoch", inSession ? one(0, 1, 2, 3, -1) : -1,
            "topics", topics, "forgottenTopicsData", array(), "rackId", "");
        if (version >= 15) {
            request.set("replicaState", object("replicaId", -1, "replicaEpoch", -1));
        }
        ask(ApiMessageType.FETCH, version, request);
    }

    private void listOffsets() throws Exception {
        int version = version(1, 11);
        // What a version does not know is refused before anything else.
        long timestamp = one(-1L, -2L, -3L, -4L, 0L, Batches.NOW_MS, Batches.NOW_MS + 1, Batches.NOW_MS + 2,
            99_999_999_999_999L);
        if (timestamp == -3 && version < 7 || timestamp == -4 && version < 8) {
            timestamp = -1;
        }
        String topic = topic();
        // Kafka finds what is below the start of the log, and overlooks what is above it.
        if (cut.contains(topic) && (timestamp >= 0 || timestamp == -3)) {
            timestamp = -2;
        }
        ArrayNode partitions = array(object(
            "partitionIndex", partition(), "currentLeaderEpoch", version < 4 ? -1 : leaderEpoch(),
            "timestamp", timestamp));
        ask(ApiMessageType.LIST_OFFSETS, version, object(
            "replicaId", -1, "isolationLevel", version < 2 ? 0 : one(0, 1),
            "topics", array(object("name", topic, "partitions", partitions)), "timeoutMs", 1000));
    }

    private void epochEnd() throws Exception {
        ArrayNode partitions = array(object(
            "partition", partition(), "currentLeaderEpoch", leaderEpoch(), "leaderEpoch", one(-1, 0, 0, 1, 5)));
        ask(ApiMessageType.OFFSET_FOR_LEADER_EPOCH, version(2, 4), object(
            "replicaId", -1, "topics", array(object("topic", topic(), "partitions", partitions))));
    }

    private void deleteRecords() throws Exception {
        ArrayNode partitions = array(object("partitionIndex", partition(), "offset", one(0, 1, 2, 3, -1, -2, 1_000_000)));
        String topic = topic();
        cut.add(topic);
        ask(ApiMessageType.DELETE_RECORDS, version(0, 2), object(
            "topics", array(object("name", topic, "partitions", partitions)), "timeoutMs", 2000));
    }

    private void describeProducers() throws Exception {
        ask(ApiMessageType.DESCRIBE_PRODUCERS, 0, object(
            "topics", array(object("name", topic(), "partitionIndexes", array(partition())))));
    }

    private void describeLogDirs() throws Exception {
        ask(ApiMessageType.DESCRIBE_LOG_DIRS, version(1, 5), object(
            "topics", array(object("topic", topic(), "partitions", array(partition())))));
    }

    // ---- Transactions

    private void initProducer() throws Exception {
        int version = version(0, 5);
        String transaction = chance(0.2) ? null : transaction();
        int timeoutMs = odd(0.1) ? one(0, -1, Integer.MAX_VALUE) : 60_000;
        ObjectNode request = object(
            "transactionalId", transaction, "transactionTimeoutMs", timeoutMs, "producerId", -1, "producerEpoch", -1,
            "enable2Pc", false, "keepPreparedTxn", false);
        if (transaction != null && version >= 3 && chance(0.2)) {
            request.put("producerId", "$pid:" + transaction).put("producerEpoch", "$epoch:" + transaction);
        }
        ask(ApiMessageType.INIT_PRODUCER_ID, version, request);
        if (transaction != null) {
            differential.settle(object("transactionalIds", array(transaction)));
        }
        String producer = transaction == null ? "idle" : transaction;
        sequences.keySet().removeIf(key -> key.startsWith(producer));
    }

    private void addPartitions() throws Exception {
        String transaction = transaction();
        ArrayNode topics = array(object("name", topic(), "partitions", array(partition())));
        ask(ApiMessageType.ADD_PARTITIONS_TO_TXN, version(0, 3), object(
            "v3AndBelowTransactionalId", transaction, "v3AndBelowProducerId", "$pid:" + transaction,
            "v3AndBelowProducerEpoch", "$epoch:" + transaction, "v3AndBelowTopics", topics, "transactions", array()));
    }

    private void addOffsets() throws Exception {
        String transaction = transaction();
        ask(ApiMessageType.ADD_OFFSETS_TO_TXN, version(0, 4), object(
            "transactionalId", transaction, "producerId", "$pid:" + transaction,
            "producerEpoch", "$epoch:" + transaction, "groupId", one("g1", "g2") + run));
    }

    private void endTransaction() throws Exception {
        String transaction = transaction();
        ask(ApiMessageType.END_TXN, version(0, 5), object(
            "transactionalId", transaction, "producerId", "$pid:" + transaction,
            "producerEpoch", odd(0.1) ? one(0, 1, 5) : "$epoch:" + transaction, "committed", chance(0.6)));
        differential.settle(object("transactionalIds", array(transaction)));
    }

    private ArrayNode offsets() {
        String topic = topic();
        String metadata = odd(0.05) ? "m".repeat(5000) : one("", "meta", null);
        ArrayNode partitions = array(object(
            "partitionIndex", partition(), "committedOffset", one(0, 1, 5, 100, -1, -5),
            "committedLeaderEpoch", one(-1, 0, 3), "committedMetadata", metadata));
        return array(object("name", topic, "topicId", topicId(topic), "partitions", partitions));
    }

    private void commitInTransaction() throws Exception {
        String transaction = transaction();
        String group = group();
        boolean isMember = chance(0.3);
        ask(ApiMessageType.TXN_OFFSET_COMMIT, version(0, 5), object(
            "transactionalId", transaction, "groupId", group, "producerId", "$pid:" + transaction,
            "producerEpoch", "$epoch:" + transaction, "generationId", isMember ? generation(group) : (Object) (-1),
            "memberId", isMember ? member(group) : "", "groupInstanceId", isMember ? instance() : null,
            "topics", offsets()));
    }

    private void describeTransactions() throws Exception {
        ask(ApiMessageType.DESCRIBE_TRANSACTIONS, 0, object("transactionalIds", array(transaction())));
    }

    private void listTransactions() throws Exception {
        ask(ApiMessageType.LIST_TRANSACTIONS, version(0, 2), object(
            "stateFilters", chance(0.7) ? array() : array(one("Ongoing", "CompleteCommit", "Empty", "nonsense")),
            "producerIdFilters", array(), "durationFilter", -1, "transactionalIdPattern", "x.*" + run));
    }

    // ---- Groups

    private void commitOffsets() throws Exception {
        String group = group();
        boolean isMember = chance(0.6);
        ask(ApiMessageType.OFFSET_COMMIT, version(2, 10), object(
            "groupId", group, "generationIdOrMemberEpoch", isMember ? generation(group) : (Object) (-1),
            "memberId", isMember ? member(group) : "", "groupInstanceId", isMember ? instance() : null,
            "retentionTimeMs", -1, "topics", offsets()));
    }

    private void fetchOffsets() throws Exception {
        int version = version(1, 10);
        String group = group();
        String topic = topic();
        ArrayNode partitions = array(partition());
        boolean isStable = version >= 7 && chance(0.3);
        boolean all = version >= 2 && chance(0.2);
        if (version < 8) {
            ArrayNode topics = all ? null : array(object("name", topic, "partitionIndexes", partitions));
            ask(ApiMessageType.OFFSET_FETCH, version, object(
                "groupId", group, "topics", topics, "groups", array(), "requireStable", isStable));
            return;
        }
        ArrayNode topics = all ? null
            : array(object("name", topic, "topicId", topicId(topic), "partitionIndexes", partitions));
        ArrayNode groups = array(object("groupId", group, "memberId", null, "memberEpoch", -1, "topics", topics));
        ask(ApiMessageType.OFFSET_FETCH, version, object(
            "groupId", "", "topics", array(), "groups", groups, "requireStable", isStable));
    }

    private void deleteOffsets() throws Exception {
        ArrayNode partitions = array(object("partitionIndex", partition()));
        ask(ApiMessageType.OFFSET_DELETE, 0, object(
            "groupId", group(), "topics", array(object("name", topic(), "partitions", partitions))));
    }

    private void findCoordinator() throws Exception {
        int version = version(0, 6);
        ask(ApiMessageType.FIND_COORDINATOR, version, object(
            "key", one("a", "g1"), "keyType", version < 1 ? 0 : odd(0.1) ? one(2, 3, -1) : one(0, 1),
            "coordinatorKeys", one(array("a", "b"), array("x"))));
    }

    /**
     * One member a group: who joins beside another waits for it to join again,
     * and here nothing happens at the same time.
     */
    private void join() throws Exception {
        String group = group();
        ArrayNode protocols = array(object("name", one("range", "range", "other"), "metadata", SUBSCRIPTION));
        if (odd(0.05)) {
            protocols.removeAll();
        }
        String known = members.contains(group) ? "$member:" + group + ":a" : "";
        JsonNode answer = ask(ApiMessageType.JOIN_GROUP, version(1, 9), object(
            "groupId", group, "sessionTimeoutMs", odd(0.05) ? one(1, 0, -1, 10_000_000) : 60_000,
            "rebalanceTimeoutMs", 60_000, "memberId", odd(0.1) ? "stranger" : known, "groupInstanceId", null,
            "protocolType", odd(0.05) ? one("connect", "") : "consumer", "protocols", protocols, "reason", null,
            "_who", "a"));
        if (answer == null) {
            return;
        }
        int error = answer.get("errorCode").asInt();
        if (error == NONE) {
            lastGeneration = answer.get("generationId").asInt();
        }
        if (error == NONE || error == MEMBER_ID_REQUIRED) {
            members.add(group);
        }
    }

    private void sync() throws Exception {
        String group = group();
        String member = member(group);
        ArrayNode assignments = chance(0.5) ? array()
            : array(object("memberId", member, "assignment", NO_PARTITIONS));
        ask(ApiMessageType.SYNC_GROUP, version(0, 5), object(
            "groupId", group, "generationId", generation(group), "memberId", member, "groupInstanceId", instance(),
            "protocolType", odd(0.1) ? one(null, "connect") : "consumer",
            "protocolName", odd(0.1) ? one(null, "other") : "range", "assignments", assignments));
    }

    private void heartbeat() throws Exception {
        String group = group();
        ask(ApiMessageType.HEARTBEAT, version(0, 4), object(
            "groupId", group, "generationId", generation(group), "memberId", member(group), "groupInstanceId", instance()));
    }

    private void leave() throws Exception {
        int version = version(0, 5);
        String group = group();
        String member = member(group);
        ArrayNode leaving = version < 3 ? array()
            : array(object("memberId", member, "groupInstanceId", instance(), "reason", null));
        JsonNode answer = ask(ApiMessageType.LEAVE_GROUP, version, object(
            "groupId", group, "memberId", version < 3 ? member : "", "members", leaving));
        if (answer != null && member.startsWith("$") && !answer.toString().contains("\"errorCode\":25")) {
            members.remove(group);
        }
    }

    private void describeGroups() throws Exception {
        int version = version(0, 6);
        ask(ApiMessageType.DESCRIBE_GROUPS, version, object(
            "groups", array(group()), "includeAuthorizedOperations", version >= 3 && chance(0.3)));
    }

    private void listGroups() throws Exception {
        int version = version(0, 5);
        // Where states go their own way, so does who has one.
        boolean byState = version >= 4 && !isConsumers() && chance(0.4);
        boolean byType = version >= 5 && chance(0.3);
        ask(ApiMessageType.LIST_GROUPS, version, object(
            "statesFilter", byState ? array(one("Empty", "Stable", "stable", "Dead", "nonsense")) : array(),
            "typesFilter", byType ? array(one("classic", "consumer", "Consumer")) : array()));
    }

    private void deleteGroups() throws Exception {
        String group = group();
        JsonNode answer = ask(ApiMessageType.DELETE_GROUPS, version(0, 2), object("groupsNames", array(group)));
        if (answer != null && answer.get("results").get(0).get("errorCode").asInt() == NONE) {
            members.remove(group);
        }
    }

    private void consumerHeartbeat() throws Exception {
        String group = group();
        String member = group + "-" + one("a", "b");
        int epoch = memberEpochs.getOrDefault(member, 0);
        Object sent = odd(0.2) ? one(0, -1, -2, 77) : epoch > 0 ? "$epoch:" + member : (Object) 0;
        boolean joins = sent.equals(0);
        ArrayNode topics = joins || chance(0.1) ? array(topic()) : null;
        JsonNode answer = ask(ApiMessageType.CONSUMER_GROUP_HEARTBEAT, 1, object(
            "groupId", group, "memberId", odd(0.05) ? "" : member, "memberEpoch", sent, "instanceId", instance(),
            "rackId", null, "rebalanceTimeoutMs", joins ? 60_000 : -1, "subscribedTopicNames", topics,
            "subscribedTopicRegex", odd(0.05) ? "(" : null, "serverAssignor", odd(0.1) ? "nonsense" : null,
            "topicPartitions", joins ? array() : null));
        if (answer != null && answer.get("errorCode").asInt() == NONE) {
            memberEpochs.put(member, Math.max(0, answer.get("memberEpoch").asInt()));
        }
    }

    private void describeConsumerGroups() throws Exception {
        ask(ApiMessageType.CONSUMER_GROUP_DESCRIBE, version(0, 1), object(
            "groupIds", array(group()), "includeAuthorizedOperations", chance(0.2)));
    }

    // ---- Topics and their settings

    private static final int CHANGE_IS_KNOWN_MS = 300;
    private static final int BEGINNING_IS_KNOWN_MS = 1000;

    /** Kafka answers a change before its own broker knows of it. */
    private JsonNode change(ApiMessageType api, int version, ObjectNode request) throws Exception {
        JsonNode answer = ask(api, version, request);
        Thread.sleep(CHANGE_IS_KNOWN_MS);
        return answer;
    }

    private static final String[][] SETTINGS = {
        {"cleanup.policy", "compact"}, {"cleanup.policy", "delete, compact,delete"}, {"cleanup.policy", "nonsense"},
        {"retention.ms", "-1"}, {"retention.ms", "-2"}, {"retention.ms", "abc"}, {"retention.ms", ""},
        {"retention.bytes", "1000"}, {"segment.bytes", "10"}, {"segment.bytes", "1048576"},
        {"segment.bytes", "99999999999"}, {"segment.ms", "0"}, {"segment.ms", "1"}, {"max.message.bytes", "-1"},
        {"max.message.bytes", "0"}, {"max.message.bytes", "100"}, {"compression.type", "zstd"},
        {"compression.type", "nonsense"}, {"compression.type", "uncompressed"}, {"compression.zstd.level", "23"},
        {"compression.zstd.level", "3"}, {"compression.gzip.level", "0"}, {"compression.gzip.level", "-1"},
        {"compression.lz4.level", "18"}, {"compression.lz4.level", "0"},
        {"message.timestamp.type", "LogAppendTime"}, {"message.timestamp.type", "nonsense"},
        {"message.timestamp.before.max.ms", "-1"}, {"message.timestamp.after.max.ms", "0"},
        {"min.cleanable.dirty.ratio", "2"}, {"min.cleanable.dirty.ratio", "0.5"},
        {"min.cleanable.dirty.ratio", "-0.1"}, {"min.compaction.lag.ms", "10"}, {"max.compaction.lag.ms", "0"},
        {"max.compaction.lag.ms", "5"}, {"min.insync.replicas", "0"}, {"min.insync.replicas", "2"},
        {"flush.messages", "0"}, {"flush.messages", "1"}, {"index.interval.bytes", "0"},
        {"delete.retention.ms", "0"}, {"nonsense", "1"}, {"segment.jitter.ms", "5"}};

    private static ObjectNode newTopic(String name, int partitions, ObjectNode settings) {
        ArrayNode configs = array();
        settings.fields().forEachRemaining(e -> configs.add(object("name", e.getKey(), "value", e.getValue())));
        ObjectNode topic = object(
            "name", name, "numPartitions", partitions, "replicationFactor", 1, "assignments", array(),
            "configs", configs);
        return object("topics", array(topic), "timeoutMs", 10_000, "validateOnly", false);
    }

    private String madeTopic() {
        return odd(0.2) ? one("missing", "", "bad name!") : created == 0 ? "t1" + run : "n" + random.nextInt(created) + run;
    }

    private void createTopic() throws Exception {
        String name = odd(0.2) ? one("t1" + run, "bad name!", "", "..") : "n" + created + run;
        ObjectNode settings = object();
        if (odd(0.6)) {
            String[] setting = one(SETTINGS);
            settings.put(setting[0], setting[1]);
        }
        ObjectNode request = newTopic(name, odd(0.2) ? one(0, -2) : one(1, 2, 3, -1), settings);
        boolean onlyChecked = chance(0.3);
        request.put("validateOnly", onlyChecked);
        JsonNode answer = change(ApiMessageType.CREATE_TOPICS, version(2, 7), request);
        boolean isNew = name.equals("n" + created + run);
        if (isNew && !onlyChecked && answer != null && answer.get("topics").get(0).get("errorCode").asInt() == NONE) {
            created++;
        }
    }

    private void deleteTopic() throws Exception {
        String name = madeTopic();
        if (name.startsWith("n")) {
            int version = version(1, 6);
            change(ApiMessageType.DELETE_TOPICS, version, object(
                "topics", version < 6 ? array() : array(object("name", name, "topicId", NO_ID)),
                "topicNames", version < 6 ? array(name) : array(), "timeoutMs", 5000));
        }
    }

    private void createPartitions() throws Exception {
        ArrayNode topics = array(object("name", madeTopic(), "count", one(1, 2, 3, 4, 0, -1), "assignments", null));
        change(ApiMessageType.CREATE_PARTITIONS, version(0, 3), object(
            "topics", topics, "timeoutMs", 5000, "validateOnly", chance(0.3)));
    }

    private void changeConfigs() throws Exception {
        String[] setting = one(SETTINGS);
        ArrayNode configs = array(object(
            "name", setting[0], "configOperation", chance(0.6) ? 0 : one(1, 2, 3),
            "value", odd(0.1) ? null : setting[1]));
        change(ApiMessageType.INCREMENTAL_ALTER_CONFIGS, version(0, 1), object(
            "resources", array(object("resourceType", 2, "resourceName", madeTopic(), "configs", configs)),
            "validateOnly", chance(0.3)));
    }

    private void replaceConfigs() throws Exception {
        String[] setting = one(SETTINGS);
        ArrayNode configs = chance(0.2) ? array() : array(object("name", setting[0], "value", setting[1]));
        change(ApiMessageType.ALTER_CONFIGS, version(0, 2), object(
            "resources", array(object("resourceType", 2, "resourceName", madeTopic(), "configs", configs)),
            "validateOnly", chance(0.3)));
    }

    private void describeConfigs() throws Exception {
        ask(ApiMessageType.DESCRIBE_CONFIGS, version(1, 4), object(
            "resources", array(object("resourceType", 2, "resourceName", madeTopic(), "configurationKeys", null)),
            "includeSynonyms", false, "includeDocumentation", false));
    }

    private void metadata() throws Exception {
        ask(ApiMessageType.METADATA, version(4, 13), object(
            "topics", array(object("topicId", NO_ID, "name", madeTopic())), "allowAutoTopicCreation", false,
            "includeClusterAuthorizedOperations", false, "includeTopicAuthorizedOperations", false));
    }

    private void describeTopics() throws Exception {
        ask(ApiMessageType.DESCRIBE_TOPIC_PARTITIONS, 0, object(
            "topics", array(object("name", madeTopic())), "responsePartitionLimit", one(2000, 1, 2),
            "cursor", null));
    }

    // ---- JSON

    private static ObjectNode object(Object... fields) {
        ObjectNode object = MAPPER.createObjectNode();
        for (int i = 0; i < fields.length; i += 2) {
            object.set((String) fields[i], json(fields[i + 1]));
        }
        return object;
    }

    private static ArrayNode array(Object... elements) {
        ArrayNode array = MAPPER.createArrayNode();
        for (Object element : elements) {
            array.add(json(element));
        }
        return array;
    }

    private static JsonNode json(Object value) {
        if (value == null) {
            return NullNode.instance;
        }
        return value instanceof JsonNode node ? node : MAPPER.valueToTree(value);
    }
}
