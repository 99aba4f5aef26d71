package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "twinhead.example/client/twinheadpb"
)

func TestParse(t *testing.T) {
	got, err := parse([]string{"--target", "host:1", "-in-flight=2", "--tasks", "a,b", "--timeout", "0.5", "-"})
	want := &settings{target: "host:1", inFlight: 2, batchSize: 64, tasks: "a,b", timeout: 0.5, file: "-"}
	if err != nil || *got != *want {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parse([]string{"--model"}); err != nil {
		t.Error(err)
	}
	for _, wrong := range [][]string{
		{}, {"a", "b"}, {"a", "--model"}, {"--model", "a"}, {"--nonsense", "a"},
		{"--batch-size", "0", "a"}, {"--batch-size", "x", "a"}, {"--in-flight", "0", "a"},
		{"--timeout", "-1", "a"}, {"--timeout", "NaN", "a"}, {"--timeout", "1e300", "a"},
	} {
		if _, err := parse(wrong); err == nil || errors.Is(err, flag.ErrHelp) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestRequestOptions(t *testing.T) {
	noLogits := false
	for want, s := range map[*pb.InferRequest]settings{
		{Outputs: &pb.OutputSelection{
			Logits:    &noLogits,
			Embedding: &pb.EmbeddingOptions{Format: pb.EmbeddingFormat_EMBEDDING_FORMAT_FLOAT32},
		}}: {},
		{
			Outputs: &pb.OutputSelection{
				Logits:    &noLogits,
				Embedding: &pb.EmbeddingOptions{Format: pb.EmbeddingFormat_EMBEDDING_FORMAT_NONE},
				Tasks:     []string{"a", "b"},
			},
			Truncation: pb.Truncation_TRUNCATION_NONE,
			Repeatable: true,
		}: {tasks: "a,b", noEmbedding: true, noTruncate: true, repeatable: true},
	} {
		if got := requestOptions(&s); !proto.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

func TestReadToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for content, want := range map[string]string{
		"a-token": "a-token", "a-token\r\nmore": "a-token", " a-token \n": "a-token",
		"": "", "\na-token": "", "é": "", "a b": "",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readToken(file)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	if got, err := readToken(""); got != "" || err != nil {
		t.Errorf("no file: %q, %v", got, err)
	}
}

func TestReadTLS(t *testing.T) {
	if config, err := readTLS(&settings{}); config != nil || err != nil {
		t.Error("plain text is encrypted", err)
	}
	if config, err := readTLS(&settings{tls: true}); config == nil || config.RootCAs != nil || err != nil {
		t.Error("the system's certificates are not trusted", err)
	}
	if _, err := readTLS(&settings{tlsCA: "main.go"}); err == nil {
		t.Error("a program was taken for a certificate")
	}
}

func TestWithAdvice(t *testing.T) {
	if err := withAdvice(nil, "x"); err != nil {
		t.Error(err)
	}
	draining := withDetails(codes.Unavailable, "DRAINING", 0).Err()
	if err := withAdvice(draining, "x"); err != draining {
		t.Error(err)
	}
	advised := describe(withAdvice(status.Error(codes.Unavailable, "refused"), "host:1"))
	if !strings.HasPrefix(advised, "UNAVAILABLE: no worker answers at host:1 (refused); ") {
		t.Error(advised)
	}
}
