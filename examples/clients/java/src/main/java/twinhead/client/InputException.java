package twinhead.client;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;

/** A file that cannot be used; its message is for people. */
final class InputException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    InputException(String message, Throwable cause) {
        super(message, cause);
    }

    static InputException tooLong(long line, long bytes) {
        var message = "line %d is longer than a request may be (%d bytes)".formatted(line, bytes);
        return new InputException(message, null);
    }

    static InputException unreadable(String file, IOException error) {
        var why = error instanceof NoSuchFileException ? "there is no such file"
                : error instanceof AccessDeniedException ? "permission denied"
                : error.getMessage();
        return new InputException("cannot read " + file + ": " + why, error);
    }
}
