package twinhead.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.file.Path;
import java.util.List;
import org.junit.Test;
import twinhead.v1.EmbeddingFormat;
import twinhead.v1.Truncation;

public class OptionsTest {
    @Test
    public void defaults() throws Exception {
        var options = Options.parse("-");
        assertEquals("localhost:50051", options.target);
        assertEquals("-", options.file);
        assertEquals(64, options.batchSize);
        assertEquals(4, options.inFlight);
        assertNull(options.tokenFile);
        assertNull(options.tlsCa);
        var request = options.request();
        assertFalse(request.getOutputs().getLogits());
        assertEquals(0, request.getOutputs().getTasksCount());
        assertEquals(EmbeddingFormat.EMBEDDING_FORMAT_FLOAT32, request.getOutputs().getEmbedding().getFormat());
        assertEquals(Truncation.TRUNCATION_END, request.getTruncation());
        assertFalse(request.getRepeatable());
    }

    @Test
    public void everyOption() throws Exception {
        var options = Options.parse(("--target w:1 a.txt --tls --tls-ca ca.pem --token-file token --batch-size 8 "
                + "--in-flight 2 --tasks topic,urgent --no-embedding --no-truncate --repeatable --timeout 1.5")
                .split(" "));
        assertEquals("w:1", options.target);
        assertEquals("a.txt", options.file);
        assertTrue(options.tls);
        assertEquals(Path.of("ca.pem"), options.tlsCa);
        assertEquals(Path.of("token"), options.tokenFile);
        assertEquals(8, options.batchSize);
        assertEquals(2, options.inFlight);
        assertEquals(1.5, options.timeoutSeconds, 0);
        var request = options.request();
        assertEquals(List.of("topic", "urgent"), request.getOutputs().getTasksList());
        assertEquals(EmbeddingFormat.EMBEDDING_FORMAT_NONE, request.getOutputs().getEmbedding().getFormat());
        assertEquals(Truncation.TRUNCATION_NONE, request.getTruncation());
        assertTrue(request.getRepeatable());
    }

    @Test
    public void wrongUsage() {
        for (var line : new String[] {
            "", "a b", "--model a", "--nonsense a", "-x", "--target", "--batch-size 0 a", "--batch-size 1.5 a",
            "--in-flight -1 a", "--in-flight x a", "--timeout 0 a", "--timeout -1 a", "--timeout NaN a",
            "--timeout 1d a", "--timeout", "--target h a", "--target h: a", "--target :1 a", "--target h:65536 a"
        }) {
            var arguments = line.isEmpty() ? new String[0] : line.split(" ");
            assertThrows(line, Options.UsageException.class, () -> Options.parse(arguments));
        }
    }
}
