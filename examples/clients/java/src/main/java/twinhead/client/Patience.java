package twinhead.client;

import java.time.Duration;
import java.util.function.DoubleSupplier;
import java.util.function.LongSupplier;

/** How long to wait before another try, and when to give up. */
final class Patience {
    private static final double FIRST_SECONDS = 0.25;
    private static final double MOST_SECONDS = 5;
    // Clients that lost the same worker must not all come back at once.
    private static final double VARIATION = 0.2;
    private static final long GIVE_UP_NANOS = Duration.ofSeconds(60).toNanos();

    private final LongSupplier clock;
    private final DoubleSupplier random;
    private boolean failing;
    private long failingSince;
    private double seconds;

    Patience() {
        this(System::nanoTime, Math::random);
    }

    /** With nanoseconds from {@code clock}, and numbers between 0 and 1 from {@code random}. */
    Patience(LongSupplier clock, DoubleSupplier random) {
        this.clock = clock;
        this.random = random;
        renew();
    }

    /** Begins anew, since an answer has come. */
    void renew() {
        failing = false;
        seconds = FIRST_SECONDS;
    }

    /**
     * Nanoseconds to wait before another try.
     *
     * @param reached whether a worker has answered before
     * @throws WorkerException the failure, when another try makes no sense, or there were enough
     */
    long nanosAfter(WorkerException failure, boolean reached) {
        var now = clock.getAsLong();
        if (!failing) {
            failing = true;
            failingSince = now;
        }
        var left = GIVE_UP_NANOS - (now - failingSince);
        if (!failure.mayPass(reached) || left <= 0) {
            throw failure;
        }
        return Math.min((long) (1e9 * pause(failure)), left);
    }

    private double pause(WorkerException failure) {
        var varied = VARIATION * random.getAsDouble();
        if (failure.retryDelay() != null) { // at least so long, and never none at all
            return Math.max(failure.retryDelay().toNanos() / 1e9, FIRST_SECONDS) * (1 + varied);
        }
        var pause = seconds * (1 - VARIATION + 2 * varied);
        seconds = Math.min(2 * seconds, MOST_SECONDS);
        return pause;
    }
}
