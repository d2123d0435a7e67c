// The classifier in Kafka Streams: one topology from topic to topic, which passes keys and headers on.

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

public final class Streams {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtSession session;
    private final String input;
    private final long[] shape;
    private final JsonNode labels;

    private Streams(String model) throws Exception {
        OrtSession.SessionOptions options = new OrtSession.SessionOptions();
        options.setIntraOpNumThreads(1);
        options.setInterOpNumThreads(1);
        options.addConfigEntry("session.intra_op.allow_spinning", "0");
        session = environment.createSession(model, options);
        input = session.getInputNames().iterator().next();
        JsonNode contract = JSON.readTree(session.getMetadata().getCustomMetadata().get("contract"));
        JsonNode image = contract.get("input").get("shape");
        shape = new long[] {1, image.get(0).asLong(), image.get(1).asLong(), image.get(2).asLong()};
        labels = contract.get("labels");
    }

    private byte[] answer(byte[] value) {
        // onnxruntime reads direct buffers in place.
        ByteBuffer pixels = ByteBuffer.allocateDirect(value.length).put(value).rewind();
        try (OnnxTensor tensor = OnnxTensor.createTensor(environment, pixels, shape, OnnxJavaType.UINT8);
                OrtSession.Result result = session.run(Map.of(input, tensor))) {
            return document(((float[][]) result.get(0).getValue())[0]);
        } catch (OrtException error) {
            throw new IllegalStateException(error);
        }
    }

    private byte[] document(float[] probabilities) {
        int best = 0;
        for (int index = 1; index < probabilities.length; index++) {
            if (probabilities[index] > probabilities[best]) {
                best = index;
            }
        }
        double confidence = Math.round(probabilities[best] * 1e6) / 1e6;
        String text = JSON.createObjectNode()
                .put("class", best)
                .put("label", labels.get(best).asText())
                .put("confidence", confidence)
                .toString();
        return text.getBytes(StandardCharsets.UTF_8);
    }

    public static void main(String[] given) throws Exception {
        String setting = given[0], servers = given[1], group = given[2], requests = given[3], predictions = given[4];
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, group);
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, servers);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("java.io.tmpdir"));
        if (setting.equals("for-latency")) {
            // Kafka Streams has 100 ms by default.
            properties.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 0);
        }
        Streams classifier = new Streams(given[5]);
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(requests, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .mapValues(classifier::answer)
                .to(predictions, Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        KafkaStreams streams = new KafkaStreams(builder.build(), properties);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }
}
