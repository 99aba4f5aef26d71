package twinhead.client;

import io.grpc.ChannelCredentials;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.util.Iterator;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import twinhead.v1.GetModelRequest;
import twinhead.v1.GetModelResponse;
import twinhead.v1.InferRequest;
import twinhead.v1.InferenceServiceGrpc;
import twinhead.v1.ModelServiceGrpc;
import twinhead.v1.StreamInferRequest;
import twinhead.v1.StreamInferResponse;

/** A connection to a worker, for one thread at a time. */
public final class Client implements AutoCloseable {

    /** Takes the answers to the requests of a stream, in the order of the requests. */
    @FunctionalInterface
    public interface Sink {
        void accept(InferRequest request, StreamInferResponse answer) throws IOException;
    }

    // A worker may be set to larger requests than its default; then its answers are larger, too.
    private static final int MAX_ANSWER_BYTES = 64 * 1024 * 1024;
    // Notice within a minute that the machine at the other end is gone.
    private static final int KEEPALIVE_SECONDS = 30;
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final String target;
    private final Deadline deadline;
    private final ManagedChannel channel;
    // Whether a worker has answered: then it makes sense to wait for it when it is gone.
    private boolean reached;

    /**
     * Connects when the first call is made.
     *
     * @param target {@code host:port}, or any name that gRPC resolves
     * @param token bearer token, or null for none
     * @param deadline of all calls together, or null for none
     * @throws IllegalArgumentException the target is none
     */
    public Client(String target, ChannelCredentials credentials, String token, Deadline deadline) {
        this.target = target;
        this.deadline = deadline;
        var headers = new Metadata();
        if (token != null) {
            headers.put(AUTHORIZATION, "Bearer " + token);
        }
        channel = Grpc.newChannelBuilder(target, credentials)
                .intercept(MetadataUtils.newAttachHeadersInterceptor(headers))
                .maxInboundMessageSize(MAX_ANSWER_BYTES)
                .keepAliveTime(KEEPALIVE_SECONDS, TimeUnit.SECONDS)
                // The stream below sends again what is unanswered; gRPC would keep copies for that.
                .disableRetry()
                // What is called back here never waits.
                .directExecutor()
                .build();
    }

    /** Describes the live model; waits for a worker that is starting, or full. */
    public GetModelResponse model() throws InterruptedException {
        var patience = new Patience();
        while (true) {
            try {
                var stub = inTime(ModelServiceGrpc.newBlockingStub(channel));
                var model = stub.getModel(GetModelRequest.getDefaultInstance());
                reached = true;
                return model;
            } catch (StatusRuntimeException error) {
                var nanos = patience.nanosAfter(WorkerException.of(error, target), reached);
                TimeUnit.NANOSECONDS.sleep(Math.min(nanos, nanosLeft()));
                channel.enterIdle();
            }
        }
    }

    /**
     * Answers many requests on one stream. One that fails gives its error to the sink, and the
     * stream goes on. When the worker goes away or is full, what is unanswered is sent again.
     *
     * @param requests read by another thread, as answers come
     * @param inFlight requests that are read and not yet given to the sink; bounds memory, and keeps
     *     the worker busy
     * @throws WorkerException the stream failed for good
     * @throws IOException what the sink throws
     * @throws RuntimeException what {@code requests} throws, after the answers to those before it
     */
    public void stream(Iterator<InferRequest> requests, int inFlight, Sink sink)
            throws IOException, InterruptedException {
        var stream = new Stream(inFlight);
        var reader = new Thread(() -> stream.read(requests), "requests");
        reader.setDaemon(true); // it may wait for input that never comes
        reader.start();
        try {
            stream.run(sink);
        } finally {
            reader.interrupt();
            stream.cancel();
        }
    }

    @Override
    public void close() {
        channel.shutdownNow();
    }

    private <S extends AbstractStub<S>> S inTime(S stub) {
        return deadline == null ? stub : stub.withDeadline(deadline);
    }

    private long nanosLeft() {
        return deadline == null ? Long.MAX_VALUE : deadline.timeRemaining(TimeUnit.NANOSECONDS);
    }

    /**
     * A stream that outlives the calls that it is made of. All of its state belongs to the thread
     * in {@code run}: the others leave what they have to tell in {@code events}.
     */
    private final class Stream implements ClientResponseObserver<StreamInferRequest, StreamInferResponse> {
        private final BlockingQueue<Runnable> events = new LinkedBlockingQueue<>();
        private final Semaphore room;
        private final Window window = new Window();
        private final Patience patience = new Patience();
        private ClientCallStreamObserver<StreamInferRequest> call; // null: there is none
        private boolean lost; // whether the call before ended too early
        private boolean paused;
        private long resumeAt;
        private boolean inputEnded;
        private Throwable inputFailure;

        Stream(int inFlight) {
            room = new Semaphore(inFlight);
        }

        void read(Iterator<InferRequest> requests) {
            try {
                room.acquire();
                while (requests.hasNext()) {
                    var request = requests.next();
                    events.add(() -> window.add(request));
                    room.acquire();
                }
                events.add(() -> inputEnded = true);
            } catch (InterruptedException | RuntimeException | Error failure) {
                events.add(() -> {
                    inputEnded = true;
                    inputFailure = failure;
                });
            }
        }

        void run(Sink sink) throws IOException, InterruptedException {
            while (!inputEnded || !window.isEmpty()) {
                if (nanosLeft() <= 0) {
                    throw WorkerException.of(Status.DEADLINE_EXCEEDED.asRuntimeException(), target);
                }
                send();
                var pause = paused ? resumeAt - System.nanoTime() : Long.MAX_VALUE;
                var event = events.poll(Math.min(pause, nanosLeft()), TimeUnit.NANOSECONDS);
                if (event != null) {
                    event.run();
                }
                room.release(window.give(sink));
            }
            if (call != null) { // the worker shall not note that its caller has left
                call.onCompleted();
            }
            while (call != null) {
                events.take().run();
            }
            if (inputFailure instanceof Error error) {
                throw error;
            }
            if (inputFailure instanceof RuntimeException error) {
                throw error;
            }
        }

        void cancel() {
            if (call != null) {
                call.cancel("the caller has left", null);
            }
        }

        private void send() {
            if (paused && System.nanoTime() - resumeAt < 0) {
                return;
            }
            paused = false;
            if (call == null && !window.isEmpty()) { // a call without a request could only be lost
                open();
            }
            while (call != null && call.isReady() && window.hasNext()) {
                call.onNext(window.next());
            }
        }

        private void open() {
            if (lost) {
                // Else gRPC would wait by itself, for up to two minutes, before it connects anew.
                channel.enterIdle();
            }
            window.sendAllAgain();
            inTime(InferenceServiceGrpc.newStub(channel)).streamInfer(this);
        }

        private void answered(StreamInferResponse answer) {
            if (!window.awaits(answer)) {
                return;
            }
            var error = answer.hasError() ? WorkerException.of(answer.getError()) : null;
            if (error != null && error.isQueueFull()) {
                window.sendAgain(answer);
                pauseAfter(error);
            } else {
                window.settle(answer);
                patience.renew();
                reached = true;
            }
        }

        private void ended(Throwable error) {
            call = null;
            lost = true;
            if (!window.isEmpty()) { // else nothing is
                pauseAfter(WorkerException.of(error, target));
            }
        }

        private void pauseAfter(WorkerException failure) {
            if (paused && failure.mayPass(reached)) {
                return; // a burst of refusals is one
            }
            resumeAt = System.nanoTime() + patience.nanosAfter(failure, reached);
            paused = true;
        }

        @Override
        public void beforeStart(ClientCallStreamObserver<StreamInferRequest> started) {
            call = started;
            // There is nothing to do but to look again.
            started.setOnReadyHandler(() -> events.add(() -> {}));
        }

        @Override
        public void onNext(StreamInferResponse answer) {
            events.add(() -> answered(answer));
        }

        @Override
        public void onError(Throwable error) {
            events.add(() -> ended(error));
        }

        @Override
        public void onCompleted() {
            var early = Status.UNAVAILABLE.withDescription("the worker ended the stream");
            events.add(() -> ended(early.asRuntimeException()));
        }
    }
}
