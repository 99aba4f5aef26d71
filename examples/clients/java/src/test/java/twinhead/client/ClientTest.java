package twinhead.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;
import static twinhead.client.FakeWorker.answer;
import static twinhead.client.FakeWorker.refusal;
import static twinhead.client.FakeWorker.status;

import io.grpc.Deadline;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.Timeout;
import twinhead.v1.InferRequest;
import twinhead.v1.StreamInferRequest;
import twinhead.v1.StreamInferResponse;

public class ClientTest {
    @Rule
    public final Timeout timeout = Timeout.seconds(30);

    private final List<String> given = new ArrayList<>();

    private static Client client(String target, Deadline deadline) {
        return new Client(target, InsecureChannelCredentials.create(), null, deadline);
    }

    private static InferRequest request(int number) {
        return InferRequest.newBuilder().addSentences("s" + number).build();
    }

    private static Iterator<InferRequest> requests(int count) {
        return IntStream.range(0, count).mapToObj(ClientTest::request).iterator();
    }

    private static List<String> sentences(int count) {
        return IntStream.range(0, count).mapToObj(number -> "s" + number).toList();
    }

    private void give(InferRequest request, StreamInferResponse answer) {
        if (answer.hasError()) {
            given.add(request.getSentences(0) + " " + WorkerException.of(answer.getError()).reason());
        } else {
            assertEquals(request.getSentences(0), answer.getResponse().getModelVersion());
            given.add(request.getSentences(0));
        }
    }

    private void stream(FakeWorker worker, int count, int inFlight) throws Exception {
        try (var client = client(worker.target(), null)) {
            client.model();
            client.stream(requests(count), inFlight, this::give);
        }
    }

    /** A stream that answers the first requests, then ends; or goes on, when there are more answers. */
    private static FakeWorker.Stream answering(int most, StatusEnd end) {
        var count = new AtomicInteger();
        return (request, answers) -> {
            if (count.getAndIncrement() < most) {
                answers.onNext(answer(request));
            } else if (count.get() == most + 1) {
                end.accept(answers);
            }
        };
    }

    private interface StatusEnd {
        void accept(StreamObserver<StreamInferResponse> answers);
    }

    private static StatusEnd with(com.google.rpc.Status status) {
        return answers -> answers.onError(StatusProto.toStatusRuntimeException(status));
    }

    @Test
    public void answersAreGivenInTheOrderOfTheRequests() throws Exception {
        // Answers three at a time, backwards, so it needs three in flight, and never sees four.
        IntFunction<FakeWorker.Stream> backwards = number -> {
            var waiting = new ArrayList<StreamInferRequest>();
            return (request, answers) -> {
                waiting.add(request);
                assertTrue(waiting.size() <= 3);
                if (waiting.size() == 3) {
                    Collections.reverse(waiting);
                    waiting.forEach(each -> answers.onNext(answer(each)));
                    waiting.clear();
                }
            };
        };
        try (var worker = new FakeWorker(backwards)) {
            stream(worker, 30, 3);
            assertEquals(sentences(30), given);
            assertEquals(1, worker.streams.get());
            assertEquals(1, worker.completed.get());
        }
    }

    @Test
    public void nothingIsAskedWithoutARequest() throws Exception {
        try (var worker = new FakeWorker(number -> (request, answers) -> {})) {
            stream(worker, 0, 4);
            assertEquals(0, worker.streams.get());
        }
    }

    @Test
    public void largeRequestsWaitForTheConnection() throws Exception {
        try (var worker = new FakeWorker(number -> (request, answers) -> answers.onNext(answer(request)));
                var client = client(worker.target(), null)) {
            var large = InferRequest.newBuilder().addSentences("s").addSentences("x".repeat(3_000_000)).build();
            client.stream(Collections.nCopies(20, large).iterator(), 8, this::give);
            assertEquals(Collections.nCopies(20, "s"), given);
        }
    }

    @Test
    public void whatIsUnansweredIsSentAgain() throws Exception {
        IntFunction<FakeWorker.Stream> kinds = number -> switch (number) {
            case 0 -> answering(5, with(status(Code.UNAVAILABLE, "DRAINING", 0)));
            case 1 -> answering(3, with(status(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", 10)));
            case 2 -> answering(4, answers -> answers.onCompleted());
            default -> answering(Integer.MAX_VALUE, null);
        };
        try (var worker = new FakeWorker(kinds)) {
            stream(worker, 40, 4);
            assertEquals(sentences(40), given);
            assertEquals(4, worker.streams.get());
        }
    }

    @Test
    public void aBatchThatFindsTheQueueFullIsSentAgain() throws Exception {
        var refused = new AtomicInteger();
        try (var worker = new FakeWorker(number -> (request, answers) -> {
            var sentence = request.getRequest().getSentences(0);
            if (sentence.equals("s19") && refused.getAndIncrement() < 2) { // the last
                answers.onNext(refusal(request, status(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", 10)));
            } else {
                answers.onNext(answer(request));
            }
        })) {
            stream(worker, 20, 4);
            assertEquals(sentences(20), given);
            assertEquals(3, refused.get());
            assertEquals(1, worker.streams.get());
        }
    }

    @Test
    public void aBatchThatIsRefusedEndsNothing() throws Exception {
        try (var worker = new FakeWorker(number -> (request, answers) ->
                answers.onNext(request.getBatchId().equals("1")
                        ? refusal(request, status(Code.INVALID_ARGUMENT, "INVALID_REQUEST", 0))
                        : answer(request)))) {
            stream(worker, 3, 2);
            assertEquals(List.of("s0", "s1 INVALID_REQUEST", "s2"), given);
        }
    }

    @Test
    public void otherErrorsEndTheStreamAfterTheAnswersBefore() throws Exception {
        try (var worker = new FakeWorker(number ->
                answering(2, with(status(Code.PERMISSION_DENIED, "SCOPE_MISSING", 0))))) {
            var error = assertThrows(WorkerException.class, () -> stream(worker, 10, 1));
            assertEquals("PERMISSION_DENIED (SCOPE_MISSING): so it is", error.toString());
            assertEquals(sentences(2), given);
            assertEquals(1, worker.streams.get());
        }
    }

    @Test
    public void aWorkerThatComesBackOnItsPortIsFound() throws Exception {
        var left = new CountDownLatch(1);
        IntFunction<FakeWorker.Stream> leaving = number -> answering(3, answers -> {
            with(status(Code.UNAVAILABLE, "DRAINING", 0)).accept(answers);
            left.countDown();
        });
        var answered = new AtomicInteger();
        var worker = new FakeWorker(leaving);
        var target = worker.target();
        var port = worker.port();
        var restart = new FutureTask<>(() -> {
            left.await();
            worker.leave();
            TimeUnit.SECONDS.sleep(1); // some tries fail meanwhile
            return new FakeWorker(port, number -> (request, answers) -> {
                answered.incrementAndGet();
                answers.onNext(answer(request));
            });
        });
        new Thread(restart).start();
        try (var client = client(target, null)) {
            client.model();
            client.stream(requests(10), 2, this::give);
        }
        restart.get().close();
        assertEquals(sentences(10), given);
        assertEquals(7, answered.get());
    }

    @Test
    public void nobodyThereIsAnErrorAtOnce() throws Exception {
        var worker = new FakeWorker(number -> (request, answers) -> {});
        var target = worker.target();
        worker.close();
        try (var client = client(target, null)) {
            var error = assertThrows(WorkerException.class, client::model);
            assertEquals(Code.UNAVAILABLE, error.code());
            assertTrue(error.getMessage(), error.getMessage().contains("Connection refused"));
        }
    }

    @Test
    public void aWorkerThatStartsIsWaitedFor() throws Exception {
        try (var worker = new FakeWorker(number -> (request, answers) -> {});
                var client = client(worker.target(), null)) {
            worker.modelFailures.add(status(Code.UNAVAILABLE, "STARTING", 10));
            worker.modelFailures.add(status(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", 10));
            assertEquals("3f", client.model().getModelVersion());
            worker.modelFailures.add(status(Code.UNAUTHENTICATED, "NO_CREDENTIALS", 0));
            assertThrows(WorkerException.class, client::model);
        }
    }

    @Test
    public void theDeadlineIsOfTheWholeRun() throws Exception {
        var late = Status.DEADLINE_EXCEEDED.getCode();
        try (var worker = new FakeWorker(number -> (request, answers) -> {})) {
            worker.modelFailures.addAll(Collections.nCopies(100, status(Code.UNAVAILABLE, "STARTING", 10)));
            try (var client = client(worker.target(), Deadline.after(400, TimeUnit.MILLISECONDS))) {
                assertEquals(late, assertThrows(WorkerException.class, client::model).code());
            }
            for (var count : new int[] {0, 1}) { // while it waits for input, and for an answer
                try (var client = client(worker.target(), Deadline.after(400, TimeUnit.MILLISECONDS))) {
                    var error = assertThrows(
                            WorkerException.class, () -> client.stream(endless(count), 4, this::give));
                    assertEquals(late, error.code());
                }
            }
        }
    }

    /** So many requests, and then a wait for more. */
    private static Iterator<InferRequest> endless(int count) {
        return new Iterator<>() {
            private int next;

            @Override
            public boolean hasNext() {
                if (next == count) {
                    try {
                        new CountDownLatch(1).await();
                    } catch (InterruptedException error) {
                        throw new IllegalStateException(error);
                    }
                }
                return true;
            }

            @Override
            public InferRequest next() {
                return request(next++);
            }
        };
    }

    @Test
    public void inputThatFailsIsToldAfterTheAnswersBefore() throws Exception {
        var failure = new InputException("line 3 is not UTF-8", null);
        var failing = IntStream.range(0, 10).mapToObj(number -> {
            if (number == 2) {
                throw failure;
            }
            return request(number);
        }).iterator();
        try (var worker = new FakeWorker(number -> answering(Integer.MAX_VALUE, null));
                var client = client(worker.target(), null)) {
            var error = assertThrows(InputException.class, () -> client.stream(failing, 4, this::give));
            assertSame(failure, error);
            assertEquals(sentences(2), given);
            assertEquals(1, worker.completed.get());
        }
    }

    @Test
    public void aSinkThatFailsEndsTheStream() throws Exception {
        var failure = new IOException("Broken pipe");
        try (var worker = new FakeWorker(number -> answering(Integer.MAX_VALUE, null));
                var client = client(worker.target(), null)) {
            var error = assertThrows(IOException.class, () -> client.stream(requests(10), 4, (request, answer) -> {
                throw failure;
            }));
            assertSame(failure, error);
        }
    }
}
