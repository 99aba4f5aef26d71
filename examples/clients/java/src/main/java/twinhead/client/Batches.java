package twinhead.client;

import com.google.protobuf.CodedOutputStream;
import java.util.Iterator;
import java.util.NoSuchElementException;
import twinhead.v1.InferRequest;
import twinhead.v1.ModelLimits;

/** Requests of as many lines as fit. */
final class Batches implements Iterator<InferRequest> {
    // What the message of a stream adds to a request at most: the batch's id, and lengths.
    private static final int STREAM_BYTES = 32;

    private final Lines lines;
    private final InferRequest template;
    private final int maxSentences;
    private final long maxBytes;
    private String line; // read, and not in a request yet
    private InputException failure;
    private InferRequest next;

    /**
     * Cuts requests that are within the limits.
     *
     * @param template what all of them ask for
     * @param sentences of a request, unless the limits are below
     */
    Batches(Lines lines, InferRequest template, int sentences, ModelLimits limits) {
        this.lines = lines;
        this.template = template;
        this.maxSentences = Math.min(sentences, Math.max(limits.getSentencesPerRequest(), 1));
        this.maxBytes = Integer.toUnsignedLong(limits.getRequestBytes());
    }

    /**
     * Whether there is another request.
     *
     * @throws InputException a line cannot be sent; those before it were given out
     */
    @Override
    public boolean hasNext() {
        if (next == null) {
            next = read();
        }
        return next != null;
    }

    @Override
    public InferRequest next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        var request = next;
        next = null;
        return request;
    }

    private InferRequest read() {
        if (failure != null) {
            throw failure;
        }
        var request = template.toBuilder();
        try {
            long bytes = template.getSerializedSize() + STREAM_BYTES;
            while (request.getSentencesCount() < maxSentences && peek() != null) {
                bytes += CodedOutputStream.computeStringSize(InferRequest.SENTENCES_FIELD_NUMBER, line);
                if (bytes > maxBytes) {
                    if (request.getSentencesCount() == 0) {
                        throw InputException.tooLong(lines.number(), maxBytes);
                    }
                    break;
                }
                request.addSentences(line);
                line = null;
            }
        } catch (InputException error) {
            failure = error;
            if (request.getSentencesCount() == 0) {
                throw error;
            }
        }
        return request.getSentencesCount() == 0 ? null : request.build();
    }

    private String peek() {
        if (line == null) {
            line = lines.next();
        }
        return line;
    }
}
