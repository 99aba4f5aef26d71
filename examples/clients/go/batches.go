package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "twinhead.example/client/twinheadpb"
)

// What a message on a stream has around the sentences and options: the batch's id, and lengths.
const envelopeBytes = 64

// batches makes requests of lines.
type batches struct {
	lines        *lines
	options      *pb.InferRequest // without sentences
	size         int              // sentences of a request
	room         int              // bytes that the sentences of a request may take
	requestBytes int
	held         *string // a line that had no room in the request before
}

// newBatches cuts text into requests with these options, of at most size sentences, and within limits.
func newBatches(text io.Reader, options *pb.InferRequest, size int, limits *pb.ModelLimits) *batches {
	if most := int(limits.GetSentencesPerRequest()); size > most {
		size = most
	}
	requestBytes := int(limits.GetRequestBytes())
	room := requestBytes - envelopeBytes - proto.Size(options)
	return &batches{
		lines:        newLines(text, room),
		options:      options,
		size:         size,
		room:         room,
		requestBytes: requestBytes,
	}
}

// feed sends all requests, closes the channel, and returns why the text could not be read to its end;
// the lines before that are sent. It ends early, and without an error, when ctx does.
func (b *batches) feed(ctx context.Context, requests chan<- *pb.InferRequest) error {
	defer close(requests)
	for {
		request, err := b.next()
		if len(request.GetSentences()) > 0 {
			select {
			case requests <- request:
			case <-ctx.Done():
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// next is a request with the next lines, fewer or none together with what ended the text.
func (b *batches) next() (*pb.InferRequest, error) {
	request := proto.Clone(b.options).(*pb.InferRequest)
	room := b.room
	for len(request.Sentences) < b.size {
		if b.held == nil {
			line, err := b.lines.next()
			if errors.Is(err, errTooLong) {
				err = fmt.Errorf("line %d is longer than a request may be (%d bytes)", b.lines.number, b.requestBytes)
			}
			if err != nil {
				return request, err
			}
			b.held = &line
		}
		room -= protowire.SizeTag(1) + protowire.SizeBytes(len(*b.held))
		if room < 0 && len(request.Sentences) > 0 {
			break
		}
		request.Sentences = append(request.Sentences, *b.held)
		b.held = nil
	}
	return request, nil
}
