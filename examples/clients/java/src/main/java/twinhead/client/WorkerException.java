package twinhead.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.protobuf.StatusProto;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** A call, or a batch of a stream, that failed. */
public final class WorkerException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final Code code;
    private final String reason;
    private final Duration retryDelay;

    private WorkerException(Code code, String reason, String message, Duration retryDelay) {
        super(message);
        this.code = code;
        this.reason = reason;
        this.retryDelay = retryDelay;
    }

    /** What a call to the worker at {@code target} threw. */
    static WorkerException of(Throwable error, String target) {
        var told = StatusProto.fromThrowable(error);
        if (told != null && detail(told.getDetailsList(), ErrorInfo.class).isPresent()) {
            return of(told);
        }
        var status = Status.fromThrowable(error);
        return new WorkerException(status.getCode(), "", message(status, target), null);
    }

    /** A status as the worker sends it, with the details of its errors. */
    static WorkerException of(com.google.rpc.Status status) {
        var details = status.getDetailsList();
        return new WorkerException(
                Status.fromCodeValue(status.getCode()).getCode(),
                detail(details, ErrorInfo.class).map(ErrorInfo::getReason).orElse(""),
                status.getMessage(),
                detail(details, RetryInfo.class).map(WorkerException::delay).orElse(null));
    }

    public Code code() {
        return code;
    }

    /** For programs, such as QUEUE_FULL; empty when the worker did not give one. */
    public String reason() {
        return reason;
    }

    /** When to try again at the earliest; null when the worker does not say. */
    public Duration retryDelay() {
        return retryDelay;
    }

    /** Whether the worker has all the work that it can hold. */
    public boolean isQueueFull() {
        return code == Code.RESOURCE_EXHAUSTED && reason.equals("QUEUE_FULL");
    }

    /** Whether another try may succeed, by whether a worker has answered before. */
    boolean mayPass(boolean reached) {
        return switch (code) {
            case UNAVAILABLE -> reached || reason.equals("STARTING");
            // Not by this client: it is what becomes of a call that reaches a worker as it closes.
            case CANCELLED -> reached;
            default -> isQueueFull();
        };
    }

    /** For people: {@code CODE (REASON): message}. */
    @Override
    public String toString() {
        return code + (reason.isEmpty() ? "" : " (" + reason + ")") + ": " + getMessage();
    }

    private static <M extends Message> Optional<M> detail(List<Any> details, Class<M> type) {
        for (var detail : details) {
            if (detail.is(type)) {
                try {
                    return Optional.of(detail.unpack(type));
                } catch (InvalidProtocolBufferException e) {
                    return Optional.empty(); // the status says enough without it
                }
            }
        }
        return Optional.empty();
    }

    private static Duration delay(RetryInfo info) {
        var delay = info.getRetryDelay();
        return Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
    }

    /** What to make of the words of gRPC itself, which are for its developers. */
    private static String message(Status status, String target) {
        var cause = status.getCause();
        while (cause != null && cause.getCause() != null) {
            cause = cause.getCause(); // the innermost says most
        }
        var words = cause == null ? status.getDescription() : cause.getMessage();
        var why = words == null ? "" : " (" + words.substring(0, Math.min(words.length(), 200)) + ")";
        return switch (status.getCode()) {
            case UNAVAILABLE -> "no worker answers at " + target + why + "; " + (
                    cause instanceof GeneralSecurityException
                            ? "is its certificate for this name, and one of those that are trusted (--tls-ca)?"
                            : "is it running, and with TLS if you ask for TLS, else without?");
            case DEADLINE_EXCEEDED -> "the time given was not enough for all answers of " + target;
            // A worker that fails by itself gives a reason, and does not come here.
            case UNIMPLEMENTED, INTERNAL, UNKNOWN ->
                    "what " + target + " sends is no answer of a Twinhead worker" + why;
            default -> target + " does not answer" + why;
        };
    }
}
