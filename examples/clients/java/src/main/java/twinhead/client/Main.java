package twinhead.client;

import io.grpc.Deadline;
import java.io.BufferedWriter;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStreamWriter;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.logging.LogManager;

/** The command line. */
public final class Main {
    private static final int ANSWERED = 0;
    private static final int FAILED = 1;
    private static final int WRONG_USAGE = 2;
    private static final int PARTLY_ANSWERED = 3;

    private Main() {}

    public static void main(String[] arguments) throws InterruptedException {
        // What gRPC and Netty log is told by the calls that fail, too.
        LogManager.getLogManager().reset();
        System.exit(run(arguments));
    }

    private static int run(String[] arguments) throws InterruptedException {
        // Not System.out and System.err: their encoding is the locale's, and they swallow errors.
        var output = new BufferedWriter(
                new OutputStreamWriter(new FileOutputStream(FileDescriptor.out), StandardCharsets.UTF_8));
        var messages = new PrintStream(
                new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8);
        try {
            var options = Options.parse(arguments);
            if (options.help) {
                output.write(Options.HELP);
                output.flush();
                return ANSWERED;
            }
            return answer(options, new Answers(output));
        } catch (Options.UsageException error) {
            messages.println("error: " + error.getMessage() + "; see twinhead-client --help");
            return WRONG_USAGE;
        } catch (WorkerException error) {
            messages.println("error: " + oneLine(error.toString()));
        } catch (InputException error) {
            messages.println("error: " + oneLine(error.getMessage()));
        } catch (IOException error) {
            var why = String.valueOf(error.getMessage());
            if (!why.contains("Broken pipe")) { // as when the reader is `head`
                messages.println("error: cannot write the output: " + oneLine(why));
            }
        }
        return FAILED;
    }

    private static int answer(Options options, Answers answers)
            throws IOException, InterruptedException, Options.UsageException {
        try (var client = connect(options)) {
            if (options.model) {
                answers.model(client.model());
                return ANSWERED;
            }
            try (var input = open(options.file)) {
                var limits = client.model().getLimits();
                var lines = new Lines(input, Integer.toUnsignedLong(limits.getRequestBytes()));
                var batches = new Batches(lines, options.request(), options.batchSize, limits);
                client.stream(batches, options.inFlight, answers);
            }
        }
        return answers.complete() ? ANSWERED : PARTLY_ANSWERED;
    }

    private static Client connect(Options options) throws Options.UsageException {
        var credentials = options.tlsCa != null ? Access.tls(options.tlsCa)
                : options.tls ? Access.tls()
                : Access.plaintext();
        var token = options.tokenFile == null ? null : Access.token(options.tokenFile);
        var deadline = Double.isInfinite(options.timeoutSeconds) ? null
                : Deadline.after((long) (1e9 * options.timeoutSeconds), TimeUnit.NANOSECONDS);
        try {
            return new Client(options.target, credentials, token, deadline);
        } catch (IllegalArgumentException error) {
            throw new Options.UsageException("--target needs HOST:PORT, not " + options.target);
        }
    }

    private static InputStream open(String file) {
        if (file.equals("-")) {
            return new FileInputStream(FileDescriptor.in);
        }
        try {
            return Files.newInputStream(Path.of(file));
        } catch (IOException error) {
            throw InputException.unreadable(file, error);
        }
    }

    private static String oneLine(String text) {
        return text.replaceAll("\\R", " ");
    }
}
