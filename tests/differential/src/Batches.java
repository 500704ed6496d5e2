import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;

/** Record batches from a line of text, right or wrong as it says, and back. */
final class Batches {
    /** Of all records: what is older than a day expires on a server's own clock. */
    static final long NOW_MS = System.currentTimeMillis();

    private static final int BYTES_MAX = 1 << 20;
    private static final int ATTRIBUTES = 21;

    private Batches() {}

    /**
     * {@code n=2,pid=a,seq=0,tx=1}: two records of producer {@code a}, within
     * its transaction. Further: {@code batches}, {@code magic}, {@code base}
     * (offset), {@code codec}, {@code key=null}, {@code val=null},
     * {@code size} of a value, {@code ts}, {@code stamped} (as if by the log),
     * {@code epoch} (added to the producer's), {@code marker}, {@code attr}
     * (attributes of the header), {@code crc=bad}, {@code kind=empty}.
     */
    static byte[] build(String text, Broker broker) {
        Map<String, String> spec = new HashMap<>();
        for (String pair : text.split(",")) {
            String[] parts = pair.split("=", 2);
            spec.put(parts[0], parts[1]);
        }
        if ("empty".equals(spec.get("kind"))) {
            return new byte[0];
        }
        ByteBuffer all = ByteBuffer.allocate(4 * BYTES_MAX);
        for (int i = 0; i < number(spec, "batches", 1); i++) {
            all.put(one(spec, i, broker));
        }
        byte[] bytes = Arrays.copyOf(all.array(), all.position());
        ByteBuffer fields = ByteBuffer.wrap(bytes);
        if (spec.containsKey("attr")) {
            fields.putShort(ATTRIBUTES, (short) number(spec, "attr", 0));
            seal(fields);
        }
        if ("bad".equals(spec.get("crc"))) {
            bytes[bytes.length - 1] ^= 1;
        }
        return bytes;
    }

    private static ByteBuffer one(Map<String, String> spec, int place, Broker broker) {
        byte magic = (byte) number(spec, "magic", RecordBatch.MAGIC_VALUE_V2);
        boolean hasProducer = spec.containsKey("pid") && magic >= RecordBatch.MAGIC_VALUE_V2;
        long producerId = hasProducer ? broker.producerId(spec.get("pid")) : RecordBatch.NO_PRODUCER_ID;
        int count = number(spec, "n", 1);
        int sequence = hasProducer ? number(spec, "seq", 0) + place * count : RecordBatch.NO_SEQUENCE;
        short epoch = RecordBatch.NO_PRODUCER_EPOCH;
        if (hasProducer) {
            epoch = (short) Math.max(0, broker.producerEpoch(spec.get("pid")) + number(spec, "epoch", 0));
        }
        if (hasProducer && spec.containsKey("marker")) {
            var marker = new EndTransactionMarker(ControlRecordType.COMMIT, 0);
            return MemoryRecords.withEndTransactionMarker(producerId, epoch, marker).buffer();
        }
        var timestamps = spec.containsKey("stamped") ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
        long timestamp = spec.containsKey("ts") ? Long.parseLong(spec.get("ts")) : NOW_MS;
        long base = number(spec, "base", 0);
        // The old formats know no zstd.
        Compression compression = magic < RecordBatch.MAGIC_VALUE_V2 ? Compression.NONE : compression(spec);
        var builder = new MemoryRecordsBuilder(
            ByteBuffer.allocate(BYTES_MAX), magic, compression, timestamps, base, timestamp, producerId, epoch,
            sequence, hasProducer && spec.containsKey("tx"), false, RecordBatch.NO_PARTITION_LEADER_EPOCH, BYTES_MAX);
        for (int i = 0; i < count; i++) {
            byte[] key = "null".equals(spec.get("key")) ? null : ("k" + i % 3).getBytes();
            byte[] value = "null".equals(spec.get("val")) ? null : new byte[number(spec, "size", 10)];
            builder.appendWithOffset(base + i, timestamp + i, key, value);
        }
        return builder.build().buffer();
    }

    private static Compression compression(Map<String, String> spec) {
        return switch (spec.getOrDefault("codec", "none")) {
            case "gzip" -> Compression.gzip().build();
            case "lz4" -> Compression.lz4().build();
            case "snappy" -> Compression.snappy().build();
            case "zstd" -> Compression.zstd().build();
            default -> Compression.NONE;
        };
    }

    private static int number(Map<String, String> spec, String name, int otherwise) {
        return spec.containsKey(name) ? Integer.parseInt(spec.get(name)) : otherwise;
    }

    private static void seal(ByteBuffer batch) {
        CRC32C crc = new CRC32C();
        crc.update(batch.array(), ATTRIBUTES, batch.array().length - ATTRIBUTES);
        batch.putInt(ATTRIBUTES - 4, (int) crc.getValue());
    }

    /**
     * Puts the partitions of an answer by their names, since servers group
     * them in their own ways, and the batches of each in words.
     */
    static void describe(FetchResponseData fetched, ObjectNode json, Broker broker) {
        ObjectNode partitions = new ObjectMapper().createObjectNode();
        for (int t = 0; t < fetched.responses().size(); t++) {
            var topic = fetched.responses().get(t);
            String id = topic.topicId().toString();
            String name = topic.topic().isEmpty() ? String.valueOf(broker.symbolOf(id)) : topic.topic();
            for (int p = 0; p < topic.partitions().size(); p++) {
                var partition = topic.partitions().get(p);
                var described = (ObjectNode) json.get("responses").get(t).get("partitions").get(p);
                described.put("batches", describe(partition));
                // It says more than one needs to know; what it hides is compared.
                described.remove("abortedTransactions");
                // Nothing is below the start of the log; Kafka looks again with the next append.
                long stable = Math.max(partition.lastStableOffset(), partition.logStartOffset());
                described.put("lastStableOffset", stable);
                partitions.set(name + "/" + partition.partitionIndex(), described);
            }
        }
        json.set("responses", partitions);
    }

    /** With what a reader who believes the list of aborted transactions would not see. */
    private static String describe(FetchResponseData.PartitionData partition) {
        StringBuilder text = new StringBuilder();
        if (partition.records() instanceof MemoryRecords records) {
            var aborted = partition.abortedTransactions() == null
                ? List.<FetchResponseData.AbortedTransaction>of() : partition.abortedTransactions();
            for (RecordBatch batch : records.batches()) {
                boolean isHidden = batch.isTransactional() && !batch.isControlBatch()
                    && aborted.stream().anyMatch(a -> a.producerId() == batch.producerId()
                        && a.firstOffset() <= batch.baseOffset() && !hasEnded(records, a, batch));
                text.append(isHidden ? "hidden " : "").append(describe(batch));
            }
        }
        return text.toString();
    }

    /** Whether a marker ends the aborted transaction before the batch. */
    private static boolean hasEnded(
        MemoryRecords records, FetchResponseData.AbortedTransaction aborted, RecordBatch before) {
        for (RecordBatch batch : records.batches()) {
            if (batch.isControlBatch() && batch.producerId() == aborted.producerId()
                && batch.baseOffset() >= aborted.firstOffset() && batch.baseOffset() < before.baseOffset()) {
                return true;
            }
        }
        return false;
    }

    private static String describe(RecordBatch batch) {
        // The times of markers and of the log are each server's own.
        boolean ownTime = batch.isControlBatch() || batch.timestampType() == TimestampType.LOG_APPEND_TIME;
        return "[" + batch.baseOffset() + "-" + batch.lastOffset() + " epoch " + batch.partitionLeaderEpoch()
            + (batch.isTransactional() ? " transactional" : "") + (batch.isControlBatch() ? " control" : "")
            + " sequence " + batch.baseSequence() + "/" + batch.producerEpoch() + " " + batch.compressionType()
            + " " + batch.timestampType() + (ownTime ? "" : " " + batch.maxTimestamp()) + "] ";
    }
}
