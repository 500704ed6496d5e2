import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** Two answers without what each server has of its own, and where they differ. */
final class Comparison {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final int SHOWN_CHARS = 300;

    /** Addresses, sizes, clocks, words for people. */
    private static final Set<String> OWN = Set.of(
        "throttleTimeMs", "errorMessage", "message", "batchIndexErrorMessage", "clusterId", "host", "port", "rack",
        "nodeId", "controllerId", "brokers", "nodeEndpoints", "leader", "leaderId", "replicaNodes", "isrNodes",
        "offlineReplicas", "lastKnownElr", "eligibleLeaderReplicas", "size", "partitionSize", "totalBytes",
        "usableBytes", "logDir", "recordsSizeInBytes", "lastTimestamp", "logAppendTimeMs", "transactionStartTimeMs",
        "clientHost", "heartbeatIntervalMs", "abortReason");

    private Comparison() {}

    /**
     * The answer in the names that both servers share. Lists are sorted, those
     * of other runs' groups and transactions left out.
     */
    static JsonNode common(Broker.Answer answer, Broker broker, String run) {
        return answer.json() == null ? TextNode.valueOf(answer.none()) : common(answer.json(), "", broker, run);
    }

    private static JsonNode common(JsonNode node, String field, Broker broker, String run) {
        if (node.isObject()) {
            ObjectNode object = MAPPER.createObjectNode();
            boolean isRefused = node.path("errorCode").asInt() != 0;
            node.fields().forEachRemaining(entry -> {
                // Kafka tells where the log begins with some errors, and not with others.
                boolean isBeside = isRefused && entry.getKey().equals("logStartOffset");
                if (!OWN.contains(entry.getKey()) && !isBeside) {
                    object.set(entry.getKey(), common(entry.getValue(), entry.getKey(), broker, run));
                }
            });
            return object;
        }
        if (node.isArray() && field.equals("configs")) {
            ObjectNode byName = MAPPER.createObjectNode();
            node.forEach(config -> byName.set(config.get("name").asText(), common(config, "", broker, run)));
            return byName;
        }
        if (node.isArray()) {
            List<JsonNode> elements = new ArrayList<>();
            node.forEach(element -> {
                if (!isOfAnotherRun(element, field, run)) {
                    elements.add(common(element, field, broker, run));
                }
            });
            elements.sort(Comparator.comparing(JsonNode::toString));
            ArrayNode array = MAPPER.createArrayNode();
            elements.forEach(array::add);
            return array;
        }
        if (node.isTextual() || field.equals("producerId")) {
            String symbol = broker.symbolOf(node.asText());
            if (symbol != null) {
                return TextNode.valueOf(symbol);
            }
        }
        if (field.equals("topicId") && !node.asText().equals(Steps.NO_ID)) {
            return TextNode.valueOf("some");
        }
        if ((field.equals("producerId") || field.equals("sessionId")) && node.asLong() > 0) {
            return TextNode.valueOf("some");
        }
        return node;
    }

    private static boolean isOfAnotherRun(JsonNode element, String field, String run) {
        String id = switch (field) {
            case "transactionStates" -> element.path("transactionalId").asText();
            case "groups" -> element.path("groupId").asText();
            default -> run;
        };
        return !id.endsWith(run);
    }

    /** One line for each difference: where, and what each says. */
    static List<String> differences(JsonNode kafka, JsonNode ours) {
        List<String> found = new ArrayList<>();
        collect("", kafka, ours, found);
        return found;
    }

    private static void collect(String path, JsonNode kafka, JsonNode ours, List<String> found) {
        if (kafka.equals(ours)) {
            return;
        }
        if (kafka.isObject() && ours.isObject()) {
            Set<String> names = new TreeSet<>();
            kafka.fieldNames().forEachRemaining(names::add);
            ours.fieldNames().forEachRemaining(names::add);
            for (String name : names) {
                collect(path + "." + name, of(kafka, name), of(ours, name), found);
            }
        } else if (kafka.isArray() && ours.isArray() && kafka.size() == ours.size()) {
            for (int i = 0; i < kafka.size(); i++) {
                collect(path + "[]", kafka.get(i), ours.get(i), found);
            }
        } else {
            found.add(path + ": kafka " + shown(kafka) + ", ours " + shown(ours));
        }
    }

    private static JsonNode of(JsonNode object, String name) {
        JsonNode value = object.get(name);
        return value == null ? MissingNode.getInstance() : value;
    }

    static String shown(JsonNode node) {
        String text = node.isMissingNode() ? "nothing" : node.toString();
        return text.length() > SHOWN_CHARS ? text.substring(0, SHOWN_CHARS) + "..." : text;
    }
}
