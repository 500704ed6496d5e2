import com.fasterxml.jackson.databind.JsonNode;
import org.apache.kafka.common.message.ApiMessageType;

/** What a server's answer says it calls the things of a request. */
final class Names {
    private static final int NONE = 0;
    private static final int MEMBER_ID_REQUIRED = 79;

    private Names() {}

    static void learn(ApiMessageType api, short version, JsonNode request, JsonNode answer, Broker broker) {
        if (answer == null) {
            return;
        }
        int error = answer.path("errorCode").asInt(NONE);
        switch (api) {
            case INIT_PRODUCER_ID -> {
                if (error == NONE) {
                    producer(request.get("transactionalId").asText("idle"), answer, broker);
                }
            }
            case END_TXN -> {
                if (error == NONE && version >= 5) {
                    producer(request.get("transactionalId").asText(), answer, broker);
                }
            }
            case JOIN_GROUP -> {
                if (error == NONE || error == MEMBER_ID_REQUIRED) {
                    String symbol = "$member:" + request.get("groupId").asText() + ":" + request.get("_who").asText();
                    broker.learn(symbol, answer.get("memberId").asText());
                }
            }
            case CONSUMER_GROUP_HEARTBEAT -> {
                if (error == NONE) {
                    broker.learn("$epoch:" + request.get("memberId").asText(), answer.get("memberEpoch").asText());
                }
            }
            case CREATE_TOPICS, METADATA -> answer.get("topics").forEach(topic -> {
                boolean exists = topic.path("errorCode").asInt() == NONE && !request.path("validateOnly").asBoolean();
                if (exists && topic.hasNonNull("name") && topic.has("topicId")) {
                    broker.learn("$id:" + topic.get("name").asText(), topic.get("topicId").asText());
                }
            });
            case FETCH -> {
                if (error == NONE && answer.path("sessionId").asInt() != 0) {
                    broker.learn("$session", answer.get("sessionId").asText());
                }
            }
            default -> { }
        }
    }

    private static void producer(String of, JsonNode answer, Broker broker) {
        broker.learn("$pid:" + of, answer.get("producerId").asText());
        broker.learn("$epoch:" + of, answer.get("producerEpoch").asText());
    }
}
