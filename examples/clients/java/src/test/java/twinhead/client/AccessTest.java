package twinhead.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class AccessTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private Path file(String text) throws IOException {
        return Files.writeString(folder.newFile().toPath(), text, StandardCharsets.UTF_8);
    }

    @Test
    public void theTokenIsTheFirstLine() throws IOException {
        for (var text : new String[] {"0123456789abcdef", "0123456789abcdef\r\nmore\n", " 0123456789abcdef \n"}) {
            assertEquals("0123456789abcdef", Access.token(file(text)));
        }
        for (var text : new String[] {"", "\nabc", "a b", "tökén"}) {
            var file = file(text);
            assertThrows(text, InputException.class, () -> Access.token(file));
        }
    }

    @Test
    public void filesThatHoldNoCertificate() throws IOException {
        for (var text : new String[] {"", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"}) {
            var file = file(text);
            var error = assertThrows(text, InputException.class, () -> Access.tls(file));
            assertEquals("no certificates in PEM: " + file, error.getMessage());
        }
    }

    @Test
    public void filesThatAreNotThere() {
        var none = folder.getRoot().toPath().resolve("none");
        var error = assertThrows(InputException.class, () -> Access.token(none));
        assertEquals("cannot read " + none + ": there is no such file", error.getMessage());
        assertThrows(InputException.class, () -> Access.tls(none));
    }
}
