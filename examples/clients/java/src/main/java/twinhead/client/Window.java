package twinhead.client;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Queue;
import twinhead.v1.InferRequest;
import twinhead.v1.StreamInferRequest;
import twinhead.v1.StreamInferResponse;

/**
 * The requests of a stream until their answers are given out. Answers come in any order, and are
 * given out in the order of the requests. For one thread.
 */
final class Window {
    private final Map<String, Entry> entries = new LinkedHashMap<>(); // by id, in order
    private final Queue<Entry> toSend = new ArrayDeque<>();
    private long added;

    private static final class Entry {
        final StreamInferRequest request;
        StreamInferResponse answer;

        Entry(StreamInferRequest request) {
            this.request = request;
        }
    }

    /** Takes another request, which is to be sent. */
    void add(InferRequest request) {
        var id = Long.toString(added++);
        var message = StreamInferRequest.newBuilder().setBatchId(id).setRequest(request).build();
        var entry = new Entry(message);
        entries.put(id, entry);
        toSend.add(entry);
    }

    /** Whether all answers are given out. */
    boolean isEmpty() {
        return entries.isEmpty();
    }

    /** Whether a request is to be sent. */
    boolean hasNext() {
        return !toSend.isEmpty();
    }

    /** What is to be sent next; it counts as sent. */
    StreamInferRequest next() {
        return toSend.remove().request;
    }

    /** Whether an answer is one that is waited for. */
    boolean awaits(StreamInferResponse answer) {
        var entry = entries.get(answer.getBatchId());
        return entry != null && entry.answer == null;
    }

    /** Takes an answer that is waited for. */
    void settle(StreamInferResponse answer) {
        entries.get(answer.getBatchId()).answer = answer;
    }

    /** Has the request of an answer that is waited for sent again. */
    void sendAgain(StreamInferResponse answer) {
        toSend.add(entries.get(answer.getBatchId()));
    }

    /** Has all that is unanswered sent again. */
    void sendAllAgain() {
        toSend.clear();
        entries.values().stream().filter(entry -> entry.answer == null).forEach(toSend::add);
    }

    /** Gives out the answers whose turn it is; returns how many. */
    int give(Client.Sink sink) throws IOException {
        var given = 0;
        for (var rest = entries.values().iterator(); rest.hasNext(); given++) {
            var entry = rest.next();
            if (entry.answer == null) {
                break;
            }
            sink.accept(entry.request.getRequest(), entry.answer);
            rest.remove();
        }
        return given;
    }
}
