package twinhead.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.security.cert.CertificateException;
import java.time.Duration;
import org.junit.Test;

public class WorkerExceptionTest {
    private static com.google.rpc.Status.Builder full() {
        var retry = RetryInfo.newBuilder();
        retry.getRetryDelayBuilder().setSeconds(1).setNanos(500_000_000);
        return com.google.rpc.Status.newBuilder()
                .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
                .setMessage("the worker is full")
                .addDetails(Any.pack(BadRequest.getDefaultInstance()))
                .addDetails(Any.pack(retry.build()))
                .addDetails(Any.pack(ErrorInfo.newBuilder().setReason("QUEUE_FULL").build()));
    }

    @Test
    public void detailsAreReadInBandAndOfCalls() {
        var call = StatusProto.toStatusRuntimeException(full().build());
        for (var error : new WorkerException[] {
            WorkerException.of(full().build()), WorkerException.of(call, "w:1")
        }) {
            assertEquals(Status.Code.RESOURCE_EXHAUSTED, error.code());
            assertEquals("QUEUE_FULL", error.reason());
            assertEquals(Duration.ofMillis(1500), error.retryDelay());
            assertTrue(error.isQueueFull());
            assertEquals("RESOURCE_EXHAUSTED (QUEUE_FULL): the worker is full", error.toString());
        }
    }

    @Test
    public void withoutDetails() {
        var error = WorkerException.of(com.google.rpc.Status.newBuilder().setCode(13).setMessage("x").build());
        assertEquals("INTERNAL: x", error.toString());
        assertNull(error.retryDelay());
    }

    @Test
    public void detailsThatCannotBeReadAreLeftOut() {
        var broken = full();
        broken.getDetailsBuilder(2).setValue(ByteString.copyFrom(new byte[] {-1}));
        assertEquals("", WorkerException.of(broken.build()).reason());
    }

    @Test
    public void transportErrorsSayWhatToDo() {
        var unavailable = Status.UNAVAILABLE.withDescription("io exception");
        var refused = new IOException("Connection refused: localhost:1", new IOException("Connection refused"));
        assertEquals(
                "UNAVAILABLE: no worker answers at w:1 (Connection refused); "
                        + "is it running, and with TLS if you ask for TLS, else without?",
                WorkerException.of(unavailable.withCause(refused).asRuntimeException(), "w:1").toString());
        var untrusted = new IOException("handshake", new CertificateException("no path"));
        assertEquals(
                "UNAVAILABLE: no worker answers at w:1 (no path); "
                        + "is its certificate for this name, and one of those that are trusted (--tls-ca)?",
                WorkerException.of(unavailable.withCause(untrusted).asRuntimeException(), "w:1").toString());
        assertEquals(
                "UNKNOWN: what w:1 sends is no answer of a Twinhead worker",
                WorkerException.of(Status.UNKNOWN.asRuntimeException(), "w:1").toString());
    }
}
