import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.BinaryNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.LongNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageSizeAccumulator;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/**
 * One of the two servers: a connection on which one request follows the other,
 * written and read by Kafka's own message classes, and what this server calls
 * the things that both know under one name.
 *
 * <p>A text {@code $pid:a} in a request stands for the producer id that the
 * server gave to {@code a}; a text {@code @batch:...} for record batches, see
 * {@link Batches}.
 */
final class Broker {
    /** An answer, or null and why there is none. */
    record Answer(JsonNode json, String none) {}

    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final int TIMEOUT_MS = 20_000;
    /** Errors that say: once more. Kafka ends transactions after it has answered. */
    private static final String RETRIED = ".*\"errorCode\":(14|15|16|51)[,}].*|.*partitionErrorCode\":51[,}].*";
    private static final int RETRIES = 60;

    final String name;
    private final int port;
    private final Map<String, String> values = new HashMap<>();
    private final Map<String, String> symbols = new HashMap<>();
    private Socket socket;
    private DataInputStream in;
    private int correlation = 1;

    Broker(String name, int port) throws IOException {
        this.name = name;
        this.port = port;
        connect();
    }

    private void connect() throws IOException {
        socket = new Socket("127.0.0.1", port);
        socket.setTcpNoDelay(true);
        socket.setSoTimeout(TIMEOUT_MS);
        in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
    }

    /** Forgets all names and begins a connection anew. */
    void reset() throws IOException {
        values.clear();
        symbols.clear();
        socket.close();
        connect();
    }

    /** What this server calls what both know as {@code symbol}. */
    void learn(String symbol, String value) {
        if (value != null && !value.isEmpty()) {
            values.put(symbol, value);
            // Epochs are small numbers and stand for themselves in answers; so
            // could a session be the number of a producer.
            if (!symbol.startsWith("$epoch:") && !symbol.equals("$session")) {
                symbols.put(value, symbol);
            }
        }
    }

    /** The common name of a value of this server; null when there is none. */
    String symbolOf(String value) {
        return symbols.get(value);
    }

    long producerId(String of) {
        String known = values.get("$pid:" + of);
        // Nobody's, but another for each name.
        return known == null ? 400_000 + (of.hashCode() & 0xffff) : Long.parseLong(known);
    }

    int producerEpoch(String of) {
        return Integer.parseInt(values.getOrDefault("$epoch:" + of, "0"));
    }

    /** Asks, and asks again while the answer says so. */
    Answer call(ApiMessageType api, short version, JsonNode request) throws Exception {
        Answer answer = once(api, version, request);
        for (int i = 0; i < RETRIES && answer.json != null && answer.json.toString().matches(RETRIED); i++) {
            Thread.sleep(30);
            answer = once(api, version, request);
        }
        return answer;
    }

    private Answer once(ApiMessageType api, short version, JsonNode request) throws Exception {
        ByteBuffer frame;
        try {
            frame = frame(api, version, read(api, version, resolve(request)));
        } catch (UnsupportedVersionException e) {
            return new Answer(null, "cannot be said in this version");
        }
        try {
            socket.getOutputStream().write(frame.array(), 0, frame.position());
            byte[] bytes = new byte[in.readInt()];
            in.readFully(bytes);
            return new Answer(response(api, version, ByteBuffer.wrap(bytes)), null);
        } catch (SocketTimeoutException e) {
            socket.close();
            connect();
            return new Answer(null, "no answer");
        } catch (IOException e) {
            socket.close();
            connect();
            return new Answer(null, "connection closed");
        }
    }

    private ByteBuffer frame(ApiMessageType api, short version, Message message) {
        var header = new RequestHeaderData()
            .setRequestApiKey(api.apiKey())
            .setRequestApiVersion(version)
            .setClientId("differential")
            .setCorrelationId(correlation++);
        short headerVersion = api.requestHeaderVersion(version);
        var headerCache = new ObjectSerializationCache();
        var cache = new ObjectSerializationCache();
        var size = new MessageSizeAccumulator();
        header.addSize(size, headerCache, headerVersion);
        message.addSize(size, cache, version);
        ByteBuffer frame = ByteBuffer.allocate(4 + size.totalSize());
        frame.putInt(size.totalSize());
        header.write(new ByteBufferAccessor(frame), headerCache, headerVersion);
        message.write(new ByteBufferAccessor(frame), cache, version);
        return frame;
    }

    private JsonNode response(ApiMessageType api, short version, ByteBuffer bytes) throws Exception {
        new ResponseHeaderData().read(new ByteBufferAccessor(bytes), api.responseHeaderVersion(version));
        Message message = api.newResponse();
        message.read(new ByteBufferAccessor(bytes), version);
        JsonNode json = write(api, version, message);
        if (bytes.hasRemaining()) {
            ((ObjectNode) json).put("bytes after the end", bytes.remaining());
        }
        if (message instanceof FetchResponseData fetched) {
            Batches.describe(fetched, (ObjectNode) json, this);
        }
        return json;
    }

    private JsonNode resolve(JsonNode node) {
        if (node.isTextual()) {
            return resolve(node.textValue());
        }
        if (node.isObject()) {
            ObjectNode object = MAPPER.createObjectNode();
            node.fields().forEachRemaining(field -> object.set(field.getKey(), resolve(field.getValue())));
            return object;
        }
        if (node.isArray()) {
            ArrayNode array = MAPPER.createArrayNode();
            node.forEach(element -> array.add(resolve(element)));
            return array;
        }
        return node;
    }

    private JsonNode resolve(String text) {
        if (text.startsWith("@batch:")) {
            return BinaryNode.valueOf(Batches.build(text.substring(7), this));
        }
        if (text.startsWith("$pid:")) {
            return LongNode.valueOf(producerId(text.substring(5)));
        }
        if (text.startsWith("$epoch:")) {
            return IntNode.valueOf(producerEpoch(text.substring(7)));
        }
        if (text.equals("$session")) {
            return IntNode.valueOf(Integer.parseInt(values.getOrDefault(text, "0")));
        }
        if (text.startsWith("$id:")) {
            return TextNode.valueOf(values.getOrDefault(text, "AAAAAAAAAAAAAAAAAAAAEQ"));
        }
        return text.startsWith("$") ? TextNode.valueOf(values.getOrDefault(text, "nobody")) : TextNode.valueOf(text);
    }

    private static Message read(ApiMessageType api, short version, JsonNode json) throws Exception {
        var read = converter(api, "Request").getMethod("read", JsonNode.class, short.class);
        try {
            return (Message) read.invoke(null, json, version);
        } catch (InvocationTargetException e) {
            throw new IllegalArgumentException(api + " v" + version + ": " + e.getCause().getMessage() + ": " + json);
        }
    }

    private static JsonNode write(ApiMessageType api, short version, Message message) throws Exception {
        var converter = converter(api, "Response");
        try {
            var write = converter.getMethod("write", message.getClass(), short.class, boolean.class);
            return (JsonNode) write.invoke(null, message, version, false);
        } catch (NoSuchMethodException e) {
            return (JsonNode) converter.getMethod("write", message.getClass(), short.class).invoke(null, message, version);
        }
    }

    private static Class<?> converter(ApiMessageType api, String kind) throws ClassNotFoundException {
        StringBuilder name = new StringBuilder("org.apache.kafka.common.message.");
        for (String part : api.name().split("_")) {
            name.append(part.charAt(0)).append(part.substring(1).toLowerCase());
        }
        return Class.forName(name.append(kind).append("DataJsonConverter").toString());
    }
}
