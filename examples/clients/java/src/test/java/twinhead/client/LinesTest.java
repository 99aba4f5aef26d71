package twinhead.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.Test;

public class LinesTest {
    private static final String MARK = "\uFEFF";

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Gives a few bytes at a time, as pipes do. */
    private static InputStream inPieces(byte[] bytes, int most) {
        return new ByteArrayInputStream(bytes) {
            @Override
            public synchronized int read(byte[] into, int offset, int length) {
                return super.read(into, offset, Math.min(length, most));
            }
        };
    }

    private static List<String> all(InputStream input) {
        var lines = new Lines(input, Integer.MAX_VALUE);
        var found = new ArrayList<String>();
        for (var line = lines.next(); line != null; line = lines.next()) {
            found.add(line);
        }
        assertEquals(found.size(), lines.number());
        return found;
    }

    private static void assertLines(String text, String... expected) {
        for (var most : new int[] {1, 2, 3, 65536}) {
            assertEquals(List.of(expected), all(inPieces(utf8(text), most)));
        }
    }

    @Test
    public void anEmptyFileHasNoLine() {
        assertLines("");
        assertLines(MARK);
    }

    @Test
    public void theLastLineMayLackItsEnd() {
        assertLines("a\nb\n", "a", "b");
        assertLines("a\nb", "a", "b");
        assertLines("🏛", "🏛");
    }

    @Test
    public void emptyLinesAreLines() {
        assertLines("\n", "");
        assertLines("\n\r\n\na\n\n", "", "", "", "a", "");
    }

    @Test
    public void aCarriageReturnBelongsToTheEndOnlyBeforeALineFeed() {
        assertLines("a\r\nb\rc\r\r\nd\r", "a", "b\rc\r", "d\r");
    }

    @Test
    public void onlyALineFeedEndsALine() {
        assertLines("a\u2028b\u0085c\u000bd\fe\u0000f\n", "a\u2028b\u0085c\u000bd\fe\u0000f");
    }

    @Test
    public void theMarkIsDroppedAtTheBeginningAlone() {
        assertLines(MARK + "a\n" + MARK + "b", "a", MARK + "b");
        assertLines(MARK + "\na", "", "a");
        assertLines(MARK + MARK + "a", MARK + "a");
    }

    @Test
    public void linesCrossTheBuffer() {
        for (var length = 65533; length < 65540; length++) {
            var first = "x".repeat(length);
            assertEquals(
                    List.of(first, "ü🏛", ""),
                    all(new ByteArrayInputStream(utf8(first + "\r\nü🏛\r\n\n"))));
            assertEquals(
                    List.of(first + "🏛" + first),
                    all(new ByteArrayInputStream(utf8(first + "🏛" + first))));
        }
    }

    @Test
    public void veryLongLines() {
        var line = "ü".repeat(5_000_000);
        assertEquals(List.of(line, "a"), all(new ByteArrayInputStream(utf8(line + "\na"))));
    }

    @Test
    public void whatIsNotUtf8IsToldAfterTheLinesBefore() {
        for (var wrong : new byte[][] {
            {(byte) 0xFF}, // no such byte
            {(byte) 0xC3}, // ends too early
            {(byte) 0xC0, (byte) 0x80}, // longer than needed
            {(byte) 0xED, (byte) 0xA0, (byte) 0x80}, // half of a pair
            {(byte) 0xF4, (byte) 0x90, (byte) 0x80, (byte) 0x80}, // beyond Unicode
        }) {
            var bytes = new byte[5 + wrong.length + 1];
            System.arraycopy(utf8("a\nüb"), 0, bytes, 0, 5);
            System.arraycopy(wrong, 0, bytes, 5, wrong.length);
            bytes[bytes.length - 1] = '\n';
            var lines = new Lines(new ByteArrayInputStream(bytes), 100);
            assertEquals("a", lines.next());
            var error = assertThrows(InputException.class, lines::next);
            assertTrue(error.getMessage(), error.getMessage().startsWith("line 2 is not UTF-8 (from its byte 4 on)"));
        }
    }

    @Test
    public void aLineWithoutEndIsNotReadToItsEnd() {
        var endless = new InputStream() {
            @Override
            public int read() {
                return 'x';
            }
        };
        var error = assertThrows(InputException.class, () -> new Lines(endless, 1_000_000).next());
        assertEquals("line 1 is longer than a request may be (1000000 bytes)", error.getMessage());
    }

    @Test
    public void inputThatFails() {
        var failing = new InputStream() {
            @Override
            public int read() throws IOException {
                throw new IOException("Is a directory");
            }
        };
        var error = assertThrows(InputException.class, () -> new Lines(failing, 100).next());
        assertEquals("the input cannot be read: Is a directory", error.getMessage());
    }
}
