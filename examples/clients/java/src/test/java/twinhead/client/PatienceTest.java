package twinhead.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import io.grpc.Status.Code;
import org.junit.Test;

public class PatienceTest {
    private static final WorkerException AWAY = failure(Code.UNAVAILABLE, "", 0);

    private long now = Long.MAX_VALUE - 5_000_000_000L; // System.nanoTime() may wrap around
    private double random = 0.5;
    private final Patience patience = new Patience(() -> now, () -> random);

    private static WorkerException failure(Code code, String reason, double retrySeconds) {
        var status = Status.newBuilder().setCode(code.value());
        status.addDetails(Any.pack(ErrorInfo.newBuilder().setReason(reason).build()));
        if (retrySeconds > 0) {
            var retry = RetryInfo.newBuilder();
            retry.getRetryDelayBuilder()
                    .setSeconds((long) retrySeconds)
                    .setNanos((int) (retrySeconds % 1 * 1e9));
            status.addDetails(Any.pack(retry.build()));
        }
        return WorkerException.of(status.build());
    }

    private double seconds(WorkerException failure) {
        return patience.nanosAfter(failure, true) / 1e9;
    }

    @Test
    public void pausesDoubleUpToFiveSeconds() {
        for (var expected : new double[] {0.25, 0.5, 1, 2, 4, 5, 5}) {
            assertEquals(expected, seconds(AWAY), 1e-6);
        }
    }

    @Test
    public void pausesVaryByAFifth() {
        random = 0;
        assertEquals(0.2, seconds(AWAY), 1e-6);
        random = 1;
        assertEquals(0.6, seconds(AWAY), 1e-6);
    }

    @Test
    public void anAnswerBeginsAnew() {
        seconds(AWAY);
        seconds(AWAY);
        now += 59_000_000_000L;
        patience.renew();
        assertEquals(0.25, seconds(AWAY), 1e-6);
        now += 59_000_000_000L;
        assertEquals(0.5, seconds(AWAY), 1e-6);
    }

    @Test
    public void theWorkersOwnWordIsTheLeast() {
        var full = failure(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", 1.5);
        random = 0;
        assertEquals(1.5, seconds(full), 1e-6);
        random = 1;
        assertEquals(1.8, seconds(full), 1e-6);
    }

    @Test
    public void aPauseOfNothingIsNone() {
        random = 0;
        assertEquals(0.25, seconds(failure(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", 1e-9)), 1e-6);
    }

    @Test
    public void itEndsAMinuteAfterTheFirstFailure() {
        seconds(AWAY);
        now += 59_900_000_000L;
        assertEquals(0.1, seconds(AWAY), 1e-6); // a last try
        now += 100_000_000L;
        assertSame(AWAY, assertThrows(WorkerException.class, () -> seconds(AWAY)));
    }

    @Test
    public void aWorkerThatNeverAnsweredIsNotWaitedForUnlessItStarts() {
        assertThrows(WorkerException.class, () -> patience.nanosAfter(AWAY, false));
        var draining = failure(Code.UNAVAILABLE, "DRAINING", 0);
        assertThrows(WorkerException.class, () -> patience.nanosAfter(draining, false));
        assertEquals(2.2e9, patience.nanosAfter(failure(Code.UNAVAILABLE, "STARTING", 2), false), 1e3);
        patience.nanosAfter(failure(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", 1), false);
    }

    @Test
    public void otherFailuresLast() {
        for (var lasting : new WorkerException[] {
            failure(Code.RESOURCE_EXHAUSTED, "", 0), // a message over gRPC's own limits
            failure(Code.INVALID_ARGUMENT, "INVALID_REQUEST", 0),
            failure(Code.INTERNAL, "INTERNAL_ERROR", 0),
            failure(Code.DEADLINE_EXCEEDED, "", 0),
        }) {
            assertThrows(WorkerException.class, () -> seconds(lasting));
        }
    }
}
