package twinhead.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.Test;
import twinhead.v1.InferRequest;
import twinhead.v1.ModelLimits;
import twinhead.v1.StreamInferRequest;

public class BatchesTest {
    private static final InferRequest TEMPLATE = InferRequest.newBuilder().setRepeatable(true).build();

    private static Batches batches(String text, int sentences, int maxSentences, int maxBytes) {
        var input = new ByteArrayInputStream(text.getBytes(StandardCharsets.ISO_8859_1));
        var limits = ModelLimits.newBuilder()
                .setSentencesPerRequest(maxSentences)
                .setRequestBytes(maxBytes)
                .build();
        return new Batches(new Lines(input, Integer.toUnsignedLong(maxBytes)), TEMPLATE, sentences, limits);
    }

    private static void assertNext(Batches batches, String... sentences) {
        var request = batches.next();
        assertEquals(List.of(sentences), request.getSentencesList());
        assertTrue(request.getRepeatable());
    }

    @Test
    public void requestsHoldSoManySentences() {
        var batches = batches("a\nb\n\nd\ne", 2, 1024, 1000);
        assertNext(batches, "a", "b");
        assertNext(batches, "", "d");
        assertNext(batches, "e");
        assertFalse(batches.hasNext());
        assertFalse(batches("", 2, 1024, 1000).hasNext());
    }

    @Test
    public void theWorkersLimitGoesFirst() {
        assertNext(batches("a\nb\nc\n", 64, 2, 1000), "a", "b");
    }

    @Test
    public void requestsStayWithinTheirBytes() {
        var line = "x".repeat(300);
        var batches = batches((line + "\n").repeat(10), 64, 1024, 1000);
        for (var sentences = 10; sentences > 0; ) {
            var request = batches.next();
            var message = StreamInferRequest.newBuilder()
                    .setBatchId(Long.toString(Long.MAX_VALUE))
                    .setRequest(request);
            assertTrue(message.build().getSerializedSize() <= 1000);
            assertTrue(request.getSentencesCount() == Math.min(3, sentences));
            sentences -= request.getSentencesCount();
        }
        assertFalse(batches.hasNext());
    }

    @Test
    public void aLineThatIsTooLongIsToldAfterTheLinesBefore() {
        for (var length : new int[] {990, 2000, 100_000}) {
            var batches = batches("a\nb\n" + "x".repeat(length) + "\nd\n", 64, 1024, 1000);
            assertNext(batches, "a", "b");
            for (var again = 0; again < 2; again++) { // it is not passed over
                var error = assertThrows(InputException.class, batches::hasNext);
                assertEquals("line 3 is longer than a request may be (1000 bytes)", error.getMessage());
            }
        }
    }

    @Test
    public void whatIsNoTextIsToldAfterTheLinesBefore() {
        var batches = batches("a\nb\nc\n\377\n", 2, 1024, 1000);
        assertNext(batches, "a", "b");
        assertNext(batches, "c");
        assertThrows(InputException.class, batches::hasNext);
    }
}
