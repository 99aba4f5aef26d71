package main

import (
	"context"
	"crypto/tls"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	pb "twinhead.example/client/twinheadpb"
)

// A worker may be set to larger requests than its default; then its answers are larger than the 4 MiB
// that gRPC accepts by itself.
const maxAnswerBytes = 64 << 20

// Client is a connection to a worker. Several goroutines may use it at once.
type Client struct {
	conn      *grpc.ClientConn
	inference pb.InferenceServiceClient
	models    pb.ModelServiceClient
	token     string
	met       atomic.Bool // whether a worker has answered
}

// Connect prepares a connection to the worker at target (host:port); it is made with the first call.
// Without encryption (nil) all goes in plain text, a token included. An empty token is none.
func Connect(target string, encryption *tls.Config, token string) (*Client, error) {
	// grpc.WithInsecure and grpc.Dial have successors that grpc 1.33, which Debian 12 has, is without.
	security := grpc.WithInsecure()
	if encryption != nil {
		security = grpc.WithTransportCredentials(credentials.NewTLS(encryption))
	}
	conn, err := grpc.Dial(target,
		security,
		grpc.WithNoProxy(), // workers are near
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)),
		// Notices within a minute that the worker's machine is gone; workers refuse pings more often
		// than every 10 s.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		// By itself gRPC looks for a worker that went away every two minutes in the end.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 2, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 10 * time.Second,
		}))
	if err != nil {
		return nil, err
	}
	return &Client{
		conn:      conn,
		inference: pb.NewInferenceServiceClient(conn),
		models:    pb.NewModelServiceClient(conn),
		token:     token,
	}, nil
}

// Close ends the connection, and the calls that use it.
func (c *Client) Close() error { return c.conn.Close() }

// Model asks what the worker serves: tasks, embedding and limits.
func (c *Client) Model(ctx context.Context) (*pb.GetModelResponse, error) {
	var patience patience
	for {
		model, err := c.models.GetModel(c.withToken(ctx), &pb.GetModelRequest{})
		if err == nil {
			c.met.Store(true)
			return model, nil
		}
		if err := patience.wait(ctx, err, c.met.Load()); err != nil {
			return nil, err
		}
	}
}

// Stream sends requests until their channel is closed, and hands each with its answer to deliver, in
// the order of the requests. At most inFlight requests are sent and not delivered yet. When the stream
// breaks, a new one is opened, and what is unanswered is sent again: nothing is delivered twice.
//
// It returns when all is delivered, with what deliver returned, or with a status that tells why it had
// to give up. Whoever feeds the channel must then stop, too; cancel what they have in common.
func (c *Client) Stream(
	ctx context.Context,
	requests <-chan *pb.InferRequest,
	inFlight int,
	deliver func(*pb.InferRequest, *pb.StreamInferResponse) error,
) error {
	window := newWindow(requests, inFlight)
	var patience patience
	answered := func() {
		c.met.Store(true)
		patience.answered()
	}
	more, err := window.lookAhead(ctx)
	for more && err == nil {
		failure := c.streamOnce(ctx, window, answered, deliver)
		// However the stream ended: when all is delivered, it does not matter.
		if more, err = window.lookAhead(ctx); more && err == nil {
			err = patience.wait(ctx, failure, c.met.Load())
		}
	}
	return err
}

// streamOnce is one stream. This goroutine reads it; another one writes, and has ended on return.
func (c *Client) streamOnce(
	ctx context.Context,
	window *window,
	answered func(),
	deliver func(*pb.InferRequest, *pb.StreamInferResponse) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.inference.StreamInfer(c.withToken(ctx))
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		err := window.send(ctx, stream)
		if err == io.EOF || ctx.Err() != nil {
			err = nil // the stream broke: the reading side is told why
		}
		sent <- err
	}()
	err = window.receive(stream, answered, deliver)
	cancel()
	if unsendable := <-sent; unsendable != nil {
		return unsendable
	}
	return err
}

// withToken adds the token as metadata. PerRPCCredentials would do the same, but those of grpc's own
// packages refuse to work without TLS, which a worker on loopback does not need.
func (c *Client) withToken(ctx context.Context) context.Context {
	if c.token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
}
