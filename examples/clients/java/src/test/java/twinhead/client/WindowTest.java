package twinhead.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.junit.Test;
import twinhead.v1.InferRequest;
import twinhead.v1.StreamInferResponse;

public class WindowTest {
    private final Window window = new Window();

    private void add(String... sentences) {
        for (var sentence : sentences) {
            window.add(InferRequest.newBuilder().addSentences(sentence).build());
        }
    }

    private static StreamInferResponse answer(int number) {
        return StreamInferResponse.newBuilder().setBatchId(Integer.toString(number)).build();
    }

    private List<String> sent() {
        var sent = new ArrayList<String>();
        while (window.hasNext()) {
            sent.add(window.next().getRequest().getSentences(0));
        }
        return sent;
    }

    private List<String> given() throws IOException {
        var given = new ArrayList<String>();
        assertEquals(window.give((request, answer) -> given.add(request.getSentences(0))), given.size());
        return given;
    }

    @Test
    public void answersWaitForTheirTurn() throws IOException {
        add("a", "b", "c");
        assertEquals(List.of("a", "b", "c"), sent());
        window.settle(answer(1));
        assertEquals(List.of(), given());
        window.settle(answer(0));
        assertEquals(List.of("a", "b"), given());
        assertFalse(window.isEmpty());
        window.settle(answer(2));
        assertEquals(List.of("c"), given());
        assertTrue(window.isEmpty());
    }

    @Test
    public void onlyWhatIsUnansweredIsSentAgain() {
        add("a", "b", "c", "d");
        window.next();
        window.next();
        window.settle(answer(1));
        window.sendAllAgain();
        assertEquals(List.of("a", "c", "d"), sent());
        window.sendAgain(answer(2));
        assertEquals(List.of("c"), sent());
    }

    @Test
    public void answersThatNobodyWaitsFor() throws IOException {
        add("a", "b");
        assertTrue(window.awaits(answer(0)));
        window.settle(answer(0));
        assertFalse(window.awaits(answer(0))); // it has one
        given();
        assertFalse(window.awaits(answer(0))); // it is given out
        assertFalse(window.awaits(answer(7)));
        assertFalse(window.awaits(StreamInferResponse.getDefaultInstance()));
    }
}
