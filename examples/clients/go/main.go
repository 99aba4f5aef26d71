// Command twinhead-client sends a text to a Twinhead worker, a sentence a line, and prints a line of JSON
// for each.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "twinhead.example/client/twinheadpb"
)

// Exit codes.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitUnanswered = 3
)

const usage = "usage: twinhead-client [options] FILE\n\n" +
	"FILE is UTF-8 text, a sentence on each line; - is standard input.\n"

type settings struct {
	target      string
	tls         bool
	tlsCA       string
	tokenFile   string
	batchSize   int
	inFlight    int
	tasks       string
	noEmbedding bool
	noTruncate  bool
	repeatable  bool
	timeout     float64
	model       bool
	file        string
}

func main() {
	settings, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(exitDone)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %s; see --help\n", err)
		os.Exit(exitUsage)
	}
	// When whoever reads the output has enough of it, SIGPIPE ends this program quietly: Go sees to that.
	unanswered, err := run(settings)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "error: %s\n", describe(err))
		os.Exit(exitFailed)
	case unanswered:
		os.Exit(exitUnanswered)
	}
}

func parse(arguments []string) (*settings, error) {
	s := &settings{}
	flags := flag.NewFlagSet("twinhead-client", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // it would print all options after each error
	flags.StringVar(&s.target, "target", "localhost:50051", "the worker, `host:port`")
	flags.BoolVar(&s.tls, "tls", false, "encrypt, and trust the system's certificates")
	flags.StringVar(&s.tlsCA, "tls-ca", "", "encrypt, and trust the certificates in this PEM `file`")
	flags.StringVar(&s.tokenFile, "token-file", "", "`file` whose first line goes along as a bearer token")
	flags.IntVar(&s.batchSize, "batch-size", 64, "sentences of a request, at most what the worker's limits allow")
	flags.IntVar(&s.inFlight, "in-flight", 4, "requests that are sent and not answered yet")
	flags.StringVar(&s.tasks, "tasks", "", "only these tasks, `a,b`; all when empty")
	flags.BoolVar(&s.noEmbedding, "no-embedding", false, "do not ask for embeddings")
	flags.BoolVar(&s.noTruncate, "no-truncate", false,
		"refuse sentences that are longer than the model reads, in place of cutting them")
	flags.BoolVar(&s.repeatable, "repeatable", false, "ask for answers that are the same to the bit each time")
	flags.Float64Var(&s.timeout, "timeout", 0, "`seconds` for the whole run; 0 for as long as it takes")
	flags.BoolVar(&s.model, "model", false, "print the model as one line of JSON, and end; takes no FILE")
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			var options strings.Builder
			flags.SetOutput(&options)
			flags.PrintDefaults()
			// Go takes -name and --name, and would show the former.
			fmt.Print(usage, strings.ReplaceAll("\n"+options.String(), "\n  -", "\n  --"))
		}
		return nil, err
	}
	s.file = flags.Arg(0)
	files := 1
	if s.model {
		files = 0
	}
	switch {
	case flags.NArg() != files && s.model:
		return nil, errors.New("--model takes no FILE")
	case flags.NArg() != files:
		return nil, fmt.Errorf("one FILE is needed after the options, and there are %d", flags.NArg())
	case s.batchSize < 1:
		return nil, errors.New("--batch-size must be 1 or more")
	case s.inFlight < 1:
		return nil, errors.New("--in-flight must be 1 or more")
	case !(s.timeout >= 0 && s.timeout < 1e9): // a Duration holds no more
		return nil, errors.New("--timeout must be a number of seconds from 0 to a billion")
	}
	return s, nil
}

// run does what the settings say, and tells whether lines are left without an answer.
func run(s *settings) (unanswered bool, err error) {
	encryption, err := readTLS(s)
	if err != nil {
		return false, err
	}
	token, err := readToken(s.tokenFile)
	if err != nil {
		return false, err
	}
	text := os.Stdin
	if s.file != "-" && !s.model {
		if text, err = os.Open(s.file); err != nil {
			return false, err
		}
		defer text.Close()
	}
	ctx := context.Background()
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(s.timeout*float64(time.Second)))
		defer cancel()
	}
	client, err := Connect(s.target, encryption, token)
	if err != nil {
		return false, err
	}
	defer client.Close()
	model, err := client.Model(ctx)
	if err != nil {
		return false, withAdvice(err, s.target)
	}
	if s.model {
		line, err := modelLine(model)
		if err == nil {
			_, err = fmt.Println(line)
		}
		return false, err
	}
	unanswered, err = label(ctx, client, newBatches(text, requestOptions(s), s.batchSize, model.GetLimits()), s.inFlight)
	return unanswered, withAdvice(err, s.target)
}

// label streams batches to the worker, and prints the answers.
func label(ctx context.Context, client *Client, batches *batches, inFlight int) (unanswered bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends feed when the stream fails
	requests := make(chan *pb.InferRequest)
	unread := make(chan error, 1)
	go func() { unread <- batches.feed(ctx, requests) }()
	printer := &printer{out: os.Stdout}
	if err := client.Stream(ctx, requests, inFlight, printer.print); err != nil {
		return false, err
	}
	return printer.unanswered, <-unread
}

func requestOptions(s *settings) *pb.InferRequest {
	noLogits := false
	outputs := &pb.OutputSelection{
		Logits:    &noLogits,
		Embedding: &pb.EmbeddingOptions{Format: pb.EmbeddingFormat_EMBEDDING_FORMAT_FLOAT32},
	}
	if s.tasks != "" {
		outputs.Tasks = strings.Split(s.tasks, ",")
	}
	if s.noEmbedding {
		outputs.Embedding.Format = pb.EmbeddingFormat_EMBEDDING_FORMAT_NONE
	}
	options := &pb.InferRequest{Outputs: outputs, Repeatable: s.repeatable}
	if s.noTruncate {
		options.Truncation = pb.Truncation_TRUNCATION_NONE
	}
	return options
}

// readTLS is how to encrypt; nil for plain text.
func readTLS(s *settings) (*tls.Config, error) {
	if s.tlsCA == "" {
		if s.tls {
			return &tls.Config{MinVersion: tls.VersionTLS12}, nil
		}
		return nil, nil
	}
	certificates, err := os.ReadFile(s.tlsCA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificates) {
		return nil, fmt.Errorf("%s has no certificate in PEM; --tls-ca takes the roots of the worker's certificate", s.tlsCA)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

func readToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	token := strings.TrimSpace(line)
	if token == "" || strings.IndexFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return "", fmt.Errorf("the first line of %s is no token; it takes visible ASCII characters", file)
	}
	return token, nil
}

// withAdvice adds what to look at when there is no connection.
func withAdvice(err error, target string) error {
	failure := status.Convert(err)
	if failure.Code() != codes.Unavailable || reason(failure) != "" {
		return err
	}
	return status.Errorf(failure.Code(), "no worker answers at %s (%s); is that the address of a running worker, "+
		"and does it speak TLS just when --tls or --tls-ca is given?", target, failure.Message())
}
