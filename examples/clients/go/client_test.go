package main

import (
	"context"
	"errors"
	"net"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "twinhead.example/client/twinheadpb"
)

type streamHandler func(pb.InferenceService_StreamInferServer) error

// fakeWorker treats each stream as the next of its functions says; the last is for all that follow.
type fakeWorker struct {
	pb.UnimplementedInferenceServiceServer
	pb.UnimplementedModelServiceServer
	mu      sync.Mutex
	streams []streamHandler
	models  int
	tokens  []string
}

func (f *fakeWorker) GetModel(ctx context.Context, _ *pb.GetModelRequest) (*pb.GetModelResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.models++
	headers, _ := metadata.FromIncomingContext(ctx)
	f.tokens = headers.Get("authorization")
	if f.models == 1 {
		return nil, withDetails(codes.Unavailable, starting, time.Millisecond).Err()
	}
	return &pb.GetModelResponse{ModelVersion: "3f"}, nil
}

func (f *fakeWorker) StreamInfer(stream pb.InferenceService_StreamInferServer) error {
	f.mu.Lock()
	next := f.streams[0]
	if len(f.streams) > 1 {
		f.streams = f.streams[1:]
	}
	f.mu.Unlock()
	return next(stream)
}

// answer has the batch's sentence as the version, so that a mixed-up answer shows.
func answer(request *pb.StreamInferRequest) *pb.StreamInferResponse {
	response := &pb.InferResponse{ModelVersion: request.GetRequest().GetSentences()[0]}
	return &pb.StreamInferResponse{
		BatchId: request.GetBatchId(),
		Result:  &pb.StreamInferResponse_Response{Response: response},
	}
}

func refuse(request *pb.StreamInferRequest, failure *status.Status) *pb.StreamInferResponse {
	return &pb.StreamInferResponse{
		BatchId: request.GetBatchId(),
		Result:  &pb.StreamInferResponse_Error{Error: failure.Proto()},
	}
}

// answering answers count batches, the last of them twice, then ends the stream with a status.
func answering(count int, end error) streamHandler {
	return func(stream pb.InferenceService_StreamInferServer) error {
		for i := 0; i < count; i++ {
			request, err := stream.Recv()
			if err != nil {
				return nil // the caller has ended its side
			}
			for copies := 0; copies == 0 || copies == 1 && i == count-1; copies++ {
				if err := stream.Send(answer(request)); err != nil {
					return err
				}
			}
		}
		return end
	}
}

// backwards answers what it can get at once in the reverse order.
func backwards(inFlight int) streamHandler {
	return func(stream pb.InferenceService_StreamInferServer) error {
		for {
			var requests []*pb.StreamInferRequest
			for len(requests) < inFlight {
				request, err := stream.Recv()
				if err != nil {
					break
				}
				requests = append(requests, request)
			}
			if len(requests) == 0 {
				return nil
			}
			for i := len(requests) - 1; i >= 0; i-- {
				if err := stream.Send(answer(requests[i])); err != nil {
					return err
				}
			}
		}
	}
}

// connect is a client of the fake worker; what they began has ended when the test has.
func connect(t *testing.T, worker *fakeWorker) *Client {
	before := runtime.NumGoroutine()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxAnswerBytes))
	pb.RegisterInferenceServiceServer(server, worker)
	pb.RegisterModelServiceServer(server, worker)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	client, err := Connect(listener.Addr().String(), nil, "a-token")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Stop()
		<-served
		for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<16)
				t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
			}
		}
	})
	return client
}

// stream sends count requests, and is the versions of the answers in the order of their delivery.
func stream(ctx context.Context, client *Client, count, inFlight int, sentence func(int) string) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests := make(chan *pb.InferRequest)
	go func() {
		defer close(requests)
		for i := 0; i < count; i++ {
			select {
			case requests <- &pb.InferRequest{Sentences: []string{sentence(i)}}:
			case <-ctx.Done():
				return
			}
		}
	}()
	var delivered []string
	err := client.Stream(ctx, requests, inFlight, func(request *pb.InferRequest, answer *pb.StreamInferResponse) error {
		if failure := answer.GetError(); failure != nil {
			delivered = append(delivered, failure.GetMessage())
			return nil
		}
		delivered = append(delivered, answer.GetResponse().GetModelVersion())
		if answer.GetResponse().GetModelVersion() != request.GetSentences()[0] {
			return errors.New("the answer is another request's")
		}
		return nil
	})
	return delivered, err
}

func numbers(count int) []string {
	var all []string
	for i := 0; i < count; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

func TestNothingIsLostOrDoubled(t *testing.T) {
	gone := status.Error(codes.Unavailable, "gone")
	full := withDetails(codes.ResourceExhausted, queueFull, time.Millisecond)
	refusing := func(stream pb.InferenceService_StreamInferServer) error {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(refuse(request, full)); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	}
	for name, streams := range map[string][]streamHandler{
		"all well":                     {answering(1000, nil)},
		"backwards":                    {backwards(4)},
		"broken at once":               {answering(0, gone), answering(1000, nil)},
		"broken often":                 {answering(7, gone), answering(1, gone), answering(30, gone), backwards(4)},
		"full":                         {answering(5, full.Err()), answering(1000, nil)},
		"full in band":                 {refusing, answering(1000, nil)},
		"broken after the last answer": {answering(50, gone), answering(0, status.Error(codes.Internal, "needless"))},
	} {
		t.Run(name, func(t *testing.T) {
			client := connect(t, &fakeWorker{streams: streams})
			client.met.Store(true)
			got, err := stream(context.Background(), client, 50, 4, strconv.Itoa)
			if err != nil || !reflect.DeepEqual(got, numbers(50)) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestOnlyWhatIsUnansweredIsSentAgain(t *testing.T) {
	var again []string
	answersTheSecond := func(stream pb.InferenceService_StreamInferServer) error {
		_, _ = stream.Recv()
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		_ = stream.Send(answer(request))
		return status.Error(codes.Unavailable, "gone")
	}
	rest := func(stream pb.InferenceService_StreamInferServer) error {
		for {
			request, err := stream.Recv()
			if err != nil {
				return nil
			}
			again = append(again, request.GetRequest().GetSentences()[0])
			_ = stream.Send(answer(request))
		}
	}
	client := connect(t, &fakeWorker{streams: []streamHandler{answersTheSecond, rest}})
	client.met.Store(true)
	got, err := stream(context.Background(), client, 4, 4, strconv.Itoa)
	if err != nil || !reflect.DeepEqual(got, numbers(4)) || !reflect.DeepEqual(again, []string{"0", "2", "3"}) {
		t.Errorf("%q, %v; sent again: %q", got, err, again)
	}
}

func TestLargeAnswers(t *testing.T) {
	large := strings.Repeat("x", 10<<20)
	client := connect(t, &fakeWorker{streams: []streamHandler{answering(1000, nil)}})
	got, err := stream(context.Background(), client, 1, 1, func(int) string { return large })
	if len(got) != 1 || err != nil {
		t.Error(err)
	}
}

func TestNoRequestsNeedNoStream(t *testing.T) {
	got, err := stream(context.Background(), connect(t, &fakeWorker{}), 0, 4, strconv.Itoa)
	if len(got) != 0 || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestARefusedBatchIsDelivered(t *testing.T) {
	client := connect(t, &fakeWorker{streams: []streamHandler{
		func(stream pb.InferenceService_StreamInferServer) error {
			request, _ := stream.Recv()
			_ = stream.Send(refuse(request, withDetails(codes.InvalidArgument, "INVALID_REQUEST", 0)))
			return answering(1000, nil)(stream)
		},
	}})
	got, err := stream(context.Background(), client, 3, 2, strconv.Itoa)
	if err != nil || !reflect.DeepEqual(got, []string{"told", "1", "2"}) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWhatIsNotRepeated(t *testing.T) {
	for name, test := range map[string]struct {
		first streamHandler
		code  codes.Code
	}{
		"a defect":    {answering(1, status.Error(codes.Internal, "defect")), codes.Internal},
		"ended early": {answering(1, nil), codes.Internal},
		"never there": {answering(0, status.Error(codes.Unavailable, "gone")), codes.Unavailable},
		"too large":   {answering(1, status.Error(codes.ResourceExhausted, "too large")), codes.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			again := func(pb.InferenceService_StreamInferServer) error { panic("it was repeated") }
			client := connect(t, &fakeWorker{streams: []streamHandler{test.first, again}})
			if _, err := stream(context.Background(), client, 50, 4, strconv.Itoa); status.Code(err) != test.code {
				t.Error(err)
			}
		})
	}
}

func TestAnErrorOfDeliverEndsTheStream(t *testing.T) {
	client := connect(t, &fakeWorker{streams: []streamHandler{answering(1000, nil)}})
	requests := make(chan *pb.InferRequest, 1)
	requests <- &pb.InferRequest{Sentences: []string{"a"}}
	broken := errors.New("broken")
	deliver := func(*pb.InferRequest, *pb.StreamInferResponse) error { return broken }
	if err := client.Stream(context.Background(), requests, 4, deliver); err != broken {
		t.Error(err)
	}
}

func TestTextThatCannotBeSent(t *testing.T) {
	client := connect(t, &fakeWorker{streams: []streamHandler{answering(1000, nil)}})
	_, err := stream(context.Background(), client, 50, 4, func(i int) string { return strings.Repeat("\xff", i/49) + "x" })
	if err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Error(err)
	}
}

func TestCancelledWhileNobodyAnswers(t *testing.T) {
	silent := func(stream pb.InferenceService_StreamInferServer) error {
		<-stream.Context().Done()
		return status.FromContextError(stream.Context().Err()).Err()
	}
	client := connect(t, &fakeWorker{streams: []streamHandler{silent}})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := stream(ctx, client, 50, 4, strconv.Itoa); status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
}

func TestModelWaitsForAWorkerThatStarts(t *testing.T) {
	worker := &fakeWorker{}
	model, err := connect(t, worker).Model(context.Background())
	if err != nil || model.GetModelVersion() != "3f" {
		t.Error(err)
	}
	if !reflect.DeepEqual(worker.tokens, []string{"Bearer a-token"}) {
		t.Error(worker.tokens)
	}
}

func TestNobodyIsThere(t *testing.T) {
	client, err := Connect("127.0.0.1:1", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	started := time.Now()
	if _, err := client.Model(context.Background()); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if time.Since(started) > 2*time.Second {
		t.Error("it was tried again")
	}
}
