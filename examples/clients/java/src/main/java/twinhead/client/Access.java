package twinhead.client;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;

/** What lets a caller in, from files. */
final class Access {
    private Access() {}

    /** A connection in plain text. */
    static ChannelCredentials plaintext() {
        return InsecureChannelCredentials.create();
    }

    /** An encrypted connection to a worker whose certificate is of those that Java trusts. */
    static ChannelCredentials tls() {
        return TlsChannelCredentials.create();
    }

    /**
     * An encrypted connection to a worker whose certificate is of those in a file.
     *
     * @throws InputException the file is no good
     */
    static ChannelCredentials tls(Path roots) {
        try {
            var pem = Files.readAllBytes(roots);
            // gRPC would say of a file that is no good only that it cannot build a channel.
            var found = CertificateFactory.getInstance("X.509")
                    .generateCertificates(new ByteArrayInputStream(pem));
            if (found.isEmpty()) {
                throw new CertificateException("there is none");
            }
            return TlsChannelCredentials.newBuilder()
                    .trustManager(new ByteArrayInputStream(pem))
                    .build();
        } catch (CertificateException error) {
            throw new InputException("no certificates in PEM: " + roots, error);
        } catch (IOException error) {
            throw InputException.unreadable(roots.toString(), error);
        }
    }

    /**
     * The token in the first line of a file.
     *
     * @throws InputException the file is no good
     */
    static String token(Path file) {
        try {
            var text = Files.readString(file, StandardCharsets.ISO_8859_1);
            var token = text.lines().findFirst().orElse("").strip();
            if (!token.matches("[!-~]+")) { // what a header can hold
                throw new InputException("the first line of " + file
                        + " is no token: printable ASCII characters without spaces", null);
            }
            return token;
        } catch (IOException error) {
            throw InputException.unreadable(file.toString(), error);
        }
    }
}
