package twinhead.client;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status.Code;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import java.util.function.IntFunction;
import twinhead.v1.GetModelRequest;
import twinhead.v1.GetModelResponse;
import twinhead.v1.InferenceServiceGrpc;
import twinhead.v1.ModelServiceGrpc;
import twinhead.v1.StreamInferRequest;
import twinhead.v1.StreamInferResponse;

/** A worker that does what a test says. */
final class FakeWorker implements AutoCloseable {
    /** What to do with a request of a stream. */
    interface Stream extends BiConsumer<StreamInferRequest, StreamObserver<StreamInferResponse>> {}

    /** What the next calls for the model fail with. */
    final Queue<com.google.rpc.Status> modelFailures = new ConcurrentLinkedQueue<>();
    /** Streams that were begun. */
    final AtomicInteger streams = new AtomicInteger();
    /** Streams that the client ended as it should. */
    final AtomicInteger completed = new AtomicInteger();

    private final Server server;

    /** Listens; each stream is of another kind, by its number from 0. */
    FakeWorker(IntFunction<Stream> kinds) throws IOException {
        this(0, kinds);
    }

    FakeWorker(int port, IntFunction<Stream> kinds) throws IOException {
        server = Grpc.newServerBuilderForPort(port, InsecureServerCredentials.create())
                .addService(new Inference(kinds))
                .addService(new Models())
                .build()
                .start();
    }

    int port() {
        return server.getPort();
    }

    String target() {
        return "localhost:" + port();
    }

    /** Ends when its streams have ended. */
    void leave() throws InterruptedException {
        server.shutdown().awaitTermination();
    }

    @Override
    public void close() {
        server.shutdownNow();
    }

    /** An answer with the request's first sentence in the place of the version. */
    static StreamInferResponse answer(StreamInferRequest request) {
        var answer = StreamInferResponse.newBuilder().setBatchId(request.getBatchId());
        answer.getResponseBuilder().setModelVersion(request.getRequest().getSentences(0));
        return answer.build();
    }

    static StreamInferResponse refusal(StreamInferRequest request, com.google.rpc.Status status) {
        return StreamInferResponse.newBuilder()
                .setBatchId(request.getBatchId())
                .setError(status)
                .build();
    }

    /** A status with a reason; it says when to try again if that is not 0. */
    static com.google.rpc.Status status(Code code, String reason, int retryMillis) {
        var status = com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("so it is");
        status.addDetails(Any.pack(ErrorInfo.newBuilder().setReason(reason).build()));
        if (retryMillis > 0) {
            var retry = RetryInfo.newBuilder();
            retry.getRetryDelayBuilder().setNanos(retryMillis * 1_000_000);
            status.addDetails(Any.pack(retry.build()));
        }
        return status.build();
    }

    private final class Inference extends InferenceServiceGrpc.InferenceServiceImplBase {
        private final IntFunction<Stream> kinds;

        Inference(IntFunction<Stream> kinds) {
            this.kinds = kinds;
        }

        @Override
        public StreamObserver<StreamInferRequest> streamInfer(StreamObserver<StreamInferResponse> answers) {
            var stream = kinds.apply(streams.getAndIncrement());
            return new StreamObserver<>() {
                @Override
                public void onNext(StreamInferRequest request) {
                    stream.accept(request, answers);
                }

                @Override
                public void onError(Throwable error) {
                    // the client has left
                }

                @Override
                public void onCompleted() {
                    completed.incrementAndGet();
                    answers.onCompleted();
                }
            };
        }
    }

    private final class Models extends ModelServiceGrpc.ModelServiceImplBase {
        @Override
        public void getModel(GetModelRequest request, StreamObserver<GetModelResponse> answer) {
            var failure = modelFailures.poll();
            if (failure != null) {
                answer.onError(StatusProto.toStatusRuntimeException(failure));
            } else {
                answer.onNext(GetModelResponse.newBuilder().setModelVersion("3f").build());
                answer.onCompleted();
            }
        }
    }
}
