package twinhead.client;

import java.math.BigDecimal;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import twinhead.v1.EmbeddingFormat;
import twinhead.v1.InferRequest;
import twinhead.v1.Truncation;

/** What the command line says. */
final class Options {
    static final String HELP = """
            usage: twinhead-client [options] FILE

            Prints a line of JSON for each line of FILE, which is text in UTF-8; - is standard input.

              --target HOST:PORT  the worker (localhost:50051)
              --tls               encrypt, and trust the certificates that Java trusts
              --tls-ca FILE       encrypt, and trust the certificates in this PEM file
              --token-file FILE   the file's first line goes along as a bearer token
              --batch-size N      sentences of a request, at most what the worker allows (64)
              --in-flight N       requests that are sent and not answered yet (4)
              --tasks A,B         only these tasks
              --no-embedding      do not ask for embeddings
              --no-truncate       refuse sentences that are too long, in place of cutting them
              --repeatable        ask for answers that are the same to the bit each time
              --timeout SECONDS   for the whole run
              --model             print the model, and end; takes no FILE
              --help              print this, and end

            Exit codes: 0 all lines have answers; 1 failed; 2 wrong usage; 3 done, but some lines have
            no answer.
            """;

    String target = "localhost:50051";
    boolean tls;
    Path tlsCa;
    Path tokenFile;
    int batchSize = 64;
    int inFlight = 4;
    List<String> tasks = List.of();
    boolean embedding = true;
    boolean truncate = true;
    boolean repeatable;
    double timeoutSeconds = Double.POSITIVE_INFINITY;
    boolean model;
    boolean help;
    String file;

    /** A command line that makes no sense; its message says why. */
    static final class UsageException extends Exception {
        private static final long serialVersionUID = 1L;

        UsageException(String message) {
            super(message);
        }
    }

    static Options parse(String... arguments) throws UsageException {
        var options = new Options();
        var rest = List.of(arguments).iterator();
        while (rest.hasNext()) {
            var argument = rest.next();
            switch (argument) {
                case "--target" -> options.target = target(value(argument, rest));
                case "--tls" -> options.tls = true;
                case "--tls-ca" -> options.tlsCa = Path.of(value(argument, rest));
                case "--token-file" -> options.tokenFile = Path.of(value(argument, rest));
                case "--batch-size" -> options.batchSize = count(argument, rest);
                case "--in-flight" -> options.inFlight = count(argument, rest);
                case "--tasks" -> options.tasks = List.of(value(argument, rest).split(",", -1));
                case "--no-embedding" -> options.embedding = false;
                case "--no-truncate" -> options.truncate = false;
                case "--repeatable" -> options.repeatable = true;
                case "--timeout" -> options.timeoutSeconds = seconds(argument, rest);
                case "--model" -> options.model = true;
                case "--help", "-h" -> options.help = true;
                default -> options.takeFile(argument);
            }
        }
        if (!options.help && options.model == (options.file != null)) {
            throw new UsageException(options.model ? "--model takes no FILE" : "FILE is missing");
        }
        return options;
    }

    private void takeFile(String argument) throws UsageException {
        if (argument.startsWith("-") && !argument.equals("-")) {
            throw new UsageException("there is no option " + argument);
        }
        if (file != null) {
            throw new UsageException("one FILE at a time, not " + file + " and " + argument);
        }
        file = argument;
    }

    private static String value(String option, Iterator<String> rest) throws UsageException {
        if (!rest.hasNext()) {
            throw new UsageException(option + " needs a value");
        }
        return rest.next();
    }

    private static String target(String value) throws UsageException {
        // gRPC would wait for ever for a port that cannot be.
        if (value.matches(".+:\\d{1,5}") && portOf(value) <= 65535) {
            return value;
        }
        throw new UsageException("--target needs HOST:PORT, not " + value);
    }

    private static int portOf(String target) {
        return Integer.parseInt(target.substring(target.lastIndexOf(':') + 1));
    }

    private static int count(String option, Iterator<String> rest) throws UsageException {
        var value = value(option, rest);
        try {
            var count = Integer.parseInt(value);
            if (count > 0) {
                return count;
            }
        } catch (NumberFormatException error) {
            // told below
        }
        throw new UsageException(option + " needs a whole number from 1 on, not " + value);
    }

    private static double seconds(String option, Iterator<String> rest) throws UsageException {
        var value = value(option, rest);
        try {
            // Double would take "1d", "NaN" and hexadecimal digits, too.
            var seconds = new BigDecimal(value).doubleValue();
            if (seconds > 0) {
                return seconds;
            }
        } catch (NumberFormatException error) {
            // told below
        }
        throw new UsageException(option + " needs a number of seconds above 0, not " + value);
    }

    /** What each request asks for, without its sentences. */
    InferRequest request() {
        var request = InferRequest.newBuilder();
        request.getOutputsBuilder().addAllTasks(tasks).setLogits(false);
        request.getOutputsBuilder().getEmbeddingBuilder().setFormat(
                embedding ? EmbeddingFormat.EMBEDDING_FORMAT_FLOAT32 : EmbeddingFormat.EMBEDDING_FORMAT_NONE);
        return request.setTruncation(truncate ? Truncation.TRUNCATION_END : Truncation.TRUNCATION_NONE)
                .setRepeatable(repeatable)
                .build();
    }
}
