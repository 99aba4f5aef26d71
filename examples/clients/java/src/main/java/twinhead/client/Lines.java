package twinhead.client;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The lines of a text in UTF-8. {@link java.io.BufferedReader} would end lines at a lone carriage
 * return, too, and readers of text put question marks in place of what is not UTF-8.
 */
final class Lines {
    private static final byte[] BYTE_ORDER_MARK = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};

    private final InputStream input;
    private final long maxBytes;
    private final CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder(); // it is strict
    private final byte[] buffer = new byte[64 * 1024];
    private int position;
    private int filled;
    private long number;

    /**
     * Reads lines as they are asked for.
     *
     * @param maxBytes of a line: a file without any line end must not fill the memory
     */
    Lines(InputStream input, long maxBytes) {
        this.input = input;
        this.maxBytes = maxBytes;
    }

    /** Number of the line that was read last, from 1. */
    long number() {
        return number;
    }

    /**
     * The next line without its end; null after the last.
     *
     * @throws InputException it is no text, or too long, or cannot be read
     */
    String next() {
        var line = new Line();
        var ended = false;
        while (!ended && fill()) {
            var start = position;
            while (position < filled && buffer[position] != '\n') {
                position++;
            }
            line.write(buffer, start, position - start);
            if (position < filled) {
                position++;
                ended = true;
            }
            if (line.size() > maxBytes) {
                throw InputException.tooLong(number + 1, maxBytes);
            }
        }
        var start = number == 0 && line.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
        if (!ended && line.size() == start) {
            return null;
        }
        number++;
        var end = ended && line.endsWith('\r') ? line.size() - 1 : line.size();
        return decode(line.bytes(start, end));
    }

    /** Whether there is another byte. */
    private boolean fill() {
        if (position == filled) {
            try {
                position = 0;
                filled = Math.max(input.read(buffer), 0);
            } catch (IOException error) {
                throw new InputException("the input cannot be read: " + error.getMessage(), error);
            }
        }
        return filled > 0;
    }

    private String decode(ByteBuffer bytes) {
        var start = bytes.position();
        try {
            return decoder.decode(bytes).toString();
        } catch (CharacterCodingException error) {
            var message = "line %d is not UTF-8 (from its byte %d on); convert the file, for example with iconv"
                    .formatted(number, bytes.position() - start + 1);
            throw new InputException(message, error);
        }
    }

    /** The bytes of a line, which is copied no more often than it must. */
    private static final class Line extends ByteArrayOutputStream {
        boolean startsWith(byte[] prefix) {
            return count >= prefix.length
                    && Arrays.equals(buf, 0, prefix.length, prefix, 0, prefix.length);
        }

        boolean endsWith(char last) {
            return count > 0 && buf[count - 1] == last;
        }

        ByteBuffer bytes(int start, int end) {
            return ByteBuffer.wrap(buf, start, end - start);
        }
    }
}
