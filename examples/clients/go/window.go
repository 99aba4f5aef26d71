package main

import (
	"context"
	"io"
	"strconv"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "twinhead.example/client/twinheadpb"
)

// window holds the batches that are not delivered yet, in their order. It survives the stream that they
// were sent on. One goroutine sends, another receives.
type window struct {
	requests <-chan *pb.InferRequest
	// A place for each batch: those that are answered count, too, so that answers do not pile up
	// behind a slow one.
	places chan struct{}

	mu      sync.Mutex
	batches []*batch
	first   int // number of batches[0]
}

// batch is a request on its way; the answer is nil as long as there is none.
type batch struct {
	message *pb.StreamInferRequest
	answer  *pb.StreamInferResponse
}

func newWindow(requests <-chan *pb.InferRequest, inFlight int) *window {
	return &window{requests: requests, places: make(chan struct{}, inFlight)}
}

func (w *window) empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.batches) == 0
}

// lookAhead tells whether there is anything to send, and waits until that is known.
func (w *window) lookAhead(ctx context.Context) (bool, error) {
	if !w.empty() {
		return true, nil
	}
	message, err := w.pull(ctx)
	return message != nil, err
}

// pull waits for a place and takes the next request; nil after the last. It fails when ctx ends.
func (w *window) pull(ctx context.Context) (*pb.StreamInferRequest, error) {
	select {
	case w.places <- struct{}{}:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	select {
	case request, more := <-w.requests:
		if more {
			return w.add(request), nil
		}
		<-w.places
		return nil, nil
	case <-ctx.Done():
		<-w.places
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (w *window) add(request *pb.InferRequest) *pb.StreamInferRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	message := &pb.StreamInferRequest{BatchId: strconv.Itoa(w.first + len(w.batches)), Request: request}
	w.batches = append(w.batches, &batch{message: message})
	return message
}

// unanswered is what a new stream begins with.
func (w *window) unanswered() []*pb.StreamInferRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	var messages []*pb.StreamInferRequest
	for _, batch := range w.batches {
		if batch.answer == nil {
			messages = append(messages, batch.message)
		}
	}
	return messages
}

// send writes what is unanswered, then requests as there are places for them, and closes its side of
// the stream after the last.
func (w *window) send(ctx context.Context, stream pb.InferenceService_StreamInferClient) error {
	for _, message := range w.unanswered() {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	for {
		message, err := w.pull(ctx)
		if err != nil {
			return err
		}
		if message == nil {
			return stream.CloseSend()
		}
		if err := stream.Send(message); err != nil {
			return err
		}
	}
}

// receive reads a stream to its end, and delivers what is next in order as soon as it is there.
func (w *window) receive(
	stream pb.InferenceService_StreamInferClient,
	answered func(),
	deliver func(*pb.InferRequest, *pb.StreamInferResponse) error,
) error {
	for {
		answer, err := stream.Recv()
		if err == io.EOF {
			return status.Error(codes.Internal, "the stream ended before all batches were answered")
		}
		if err != nil {
			return err
		}
		if failure := status.FromProto(answer.GetError()); reason(failure) == queueFull {
			return failure.Err() // as if it had ended the stream: the batch is sent again
		}
		answered()
		w.settle(answer)
		for next := w.next(); next != nil; next = w.next() {
			if err := deliver(next.message.GetRequest(), next.answer); err != nil {
				return err
			}
			w.drop()
		}
	}
}

// settle notes an answer to a batch that is without one.
func (w *window) settle(answer *pb.StreamInferResponse) {
	number, err := strconv.Atoi(answer.GetBatchId())
	w.mu.Lock()
	defer w.mu.Unlock()
	if index := number - w.first; err == nil && index >= 0 && index < len(w.batches) {
		w.batches[index].answer = answer
	}
}

// next is the first batch, if it is answered.
func (w *window) next() *batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.batches) == 0 || w.batches[0].answer == nil {
		return nil
	}
	return w.batches[0]
}

// drop forgets the first batch, which is delivered, and makes room for another.
func (w *window) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches[0] = nil // the slice's array lives on
	w.batches = w.batches[1:]
	w.first++
	<-w.places
}
