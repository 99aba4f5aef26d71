package main

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "twinhead.example/client/twinheadpb"
)

// cut is the sentences of each request, and why the text could not be read to its end.
func cut(t *testing.T, text string, size int, limits *pb.ModelLimits) ([][]string, error) {
	requests := make(chan *pb.InferRequest)
	ended := make(chan error, 1)
	batches := newBatches(strings.NewReader(text), &pb.InferRequest{Repeatable: true}, size, limits)
	go func() { ended <- batches.feed(context.Background(), requests) }()
	var found [][]string
	for request := range requests {
		message := &pb.StreamInferRequest{BatchId: strings.Repeat("9", 20), Request: request}
		if bytes := proto.Size(message); bytes > int(limits.GetRequestBytes()) {
			t.Errorf("a request of %d bytes", bytes)
		}
		if !request.GetRepeatable() {
			t.Error("the options are lost")
		}
		found = append(found, request.GetSentences())
	}
	return found, <-ended
}

func TestBatches(t *testing.T) {
	limits := &pb.ModelLimits{SentencesPerRequest: 3, RequestBytes: 100 + envelopeBytes}
	x := strings.Repeat("x", 40)
	for name, test := range map[string]struct {
		text string
		size int
		want [][]string
	}{
		"empty":          {"", 2, nil},
		"by size":        {"a\nb\nc\nd\ne\n", 2, [][]string{{"a", "b"}, {"c", "d"}, {"e"}}},
		"even":           {"a\nb\n", 2, [][]string{{"a", "b"}}},
		"by the limit":   {"a\nb\nc\nd\n", 64, [][]string{{"a", "b", "c"}, {"d"}}},
		"by bytes":       {x + "\n" + x + "\n" + x + "\n", 3, [][]string{{x, x}, {x}}},
		"a line by line": {x + x + "\n" + x + x + "\n", 3, [][]string{{x + x}, {x + x}}},
	} {
		got, err := cut(t, test.text, test.size, limits)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestALineThatFitsInNoRequest(t *testing.T) {
	limits := &pb.ModelLimits{SentencesPerRequest: 3, RequestBytes: 200}
	got, err := cut(t, "a\n"+strings.Repeat("x", 201)+"\nb\n", 2, limits)
	want := "line 2 is longer than a request may be (200 bytes)"
	if !reflect.DeepEqual(got, [][]string{{"a"}}) || err == nil || err.Error() != want {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFeedEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	limits := &pb.ModelLimits{SentencesPerRequest: 3, RequestBytes: 200}
	batches := newBatches(strings.NewReader("a\n"), &pb.InferRequest{}, 1, limits)
	if err := batches.feed(ctx, make(chan *pb.InferRequest)); err != nil {
		t.Error(err)
	}
}
