import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import org.apache.kafka.common.message.ApiMessageType;

/**
 * The same requests to Apache Kafka and to us, one after the other, chosen by a
 * seed; what they answer is to be the same. A run ends with its first
 * difference that {@code deviations.txt} does not name, as both servers have
 * gone ways of their own from there on.
 */
public final class Differential {
    private static final int SHOWN_BEFORE = 400;
    private static final int SETTLE_TRIES = 400;
    private static final int SETTLE_PAUSE_MS = 25;

    private final Broker kafka;
    private final Broker ours;
    private final List<Deviation> deviations;
    private final Path output;
    private final Deque<String> before = new ArrayDeque<>();
    private final Map<String, Integer> found = new TreeMap<>();
    private int asked;
    private int known;
    private String run = "";

    private Differential(Broker kafka, Broker ours, List<Deviation> deviations, Path output) {
        this.kafka = kafka;
        this.ours = ours;
        this.deviations = deviations;
        this.output = output;
    }

    /** {@code KAFKA_PORT PORT DEVIATIONS OUTPUT SET SEED RUNS STEPS} */
    public static void main(String[] arguments) throws Exception {
        List<Deviation> deviations = Files.readAllLines(Path.of(arguments[2])).stream()
            .filter(line -> !line.isBlank() && !line.startsWith("#"))
            .map(Deviation::parse)
            .toList();
        var kafka = new Broker("kafka", Integer.parseInt(arguments[0]));
        var ours = new Broker("ours", Integer.parseInt(arguments[1]));
        var differential = new Differential(kafka, ours, deviations, Path.of(arguments[3]));
        int seed = Integer.parseInt(arguments[5]);
        int runs = Integer.parseInt(arguments[6]);
        for (int i = 0; i < runs; i++) {
            differential.run(arguments[4], seed + i, Integer.parseInt(arguments[7]));
        }
        System.exit(differential.report(runs) ? 0 : 1);
    }

    private void run(String set, int seed, int steps) throws Exception {
        kafka.reset();
        ours.reset();
        before.clear();
        var generator = new Steps(this, set, seed);
        run = generator.run;
        try {
            generator.go(steps);
        } catch (Parted e) {
            System.out.println("seed " + seed + " of " + set + ": " + e.getMessage());
        }
    }

    private boolean report(int runs) {
        System.out.println(runs + " runs, " + asked + " requests, " + known + " answered otherwise as "
            + "deviations.txt says, " + found.values().stream().mapToInt(Integer::intValue).sum() + " otherwise");
        found.forEach((what, count) -> System.out.println("  " + count + " x " + what));
        if (asked < runs) {
            System.out.println("nothing was asked");
        }
        return found.isEmpty() && asked >= runs;
    }

    /** Asks both, lets both learn, compares; Kafka's answer, null if it gave none. */
    JsonNode both(ApiMessageType api, int number, ObjectNode request) throws Exception {
        short version = (short) number;
        asked++;
        Broker.Answer kafkas = kafka.call(api, version, request);
        Broker.Answer our = ours.call(api, version, request);
        Names.learn(api, version, request, kafkas.json(), kafka);
        Names.learn(api, version, request, our.json(), ours);
        JsonNode expected = Comparison.common(kafkas, kafka, run);
        JsonNode actual = Comparison.common(our, ours, run);
        String asked = api + " v" + version + " " + request;
        before.addLast(asked + "\n    " + Comparison.shown(expected));
        if (before.size() > SHOWN_BEFORE) {
            before.removeFirst();
        }
        List<String> differences = Comparison.differences(expected, actual);
        if (!differences.isEmpty()) {
            judge(api, asked, expected, actual, differences);
        }
        return kafkas.json();
    }

    /** Waits until Kafka, which answers before, has ended the transaction. */
    void settle(ObjectNode request) throws Exception {
        for (int i = 0; i < SETTLE_TRIES; i++) {
            JsonNode answer = kafka.call(ApiMessageType.DESCRIBE_TRANSACTIONS, (short) 0, request).json();
            if (answer == null || !answer.toString().contains("\"Prepare")) {
                return;
            }
            Thread.sleep(SETTLE_PAUSE_MS);
        }
    }

    private void judge(ApiMessageType api, String asked, JsonNode expected, JsonNode actual, List<String> differences)
        throws Exception {
        // All of them: what is known must not hide what is not.
        List<String> unknown = differences.stream()
            .map(difference -> api + " " + difference)
            .filter(difference -> deviations.stream().noneMatch(deviation -> deviation.covers(difference, asked)))
            .toList();
        if (unknown.isEmpty()) {
            known++;
            return;
        }
        String first = unknown.get(0);
        found.merge(first.replaceAll("[0-9]{4,}", "N"), 1, Integer::sum);
        Path path = output.resolve("difference-" + this.asked + ".txt");
        Files.createDirectories(output);
        Files.writeString(path, String.join("\n", before) + "\n\n" + String.join("\n", differences)
            + "\nkafka " + expected + "\nours  " + actual + "\n");
        throw new Parted(first + "\n  " + asked + "\n  all of it: " + path);
    }

    /** What a whole difference looks like, and what its request has in it. */
    private record Deviation(Pattern difference, Pattern request) {
        static Deviation parse(String line) {
            String[] parts = line.split(" WHEN ", 2);
            return new Deviation(Pattern.compile(parts[0]), Pattern.compile(parts.length > 1 ? parts[1] : ""));
        }

        boolean covers(String found, String asked) {
            return difference.matcher(found).matches() && request.matcher(asked).find();
        }
    }

    /** The servers are no longer in the same state. */
    private static final class Parted extends RuntimeException {
        Parted(String message) {
            super(message);
        }
    }
}
