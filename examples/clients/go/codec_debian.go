//go:build debian

package main

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
)

// Debian 12 has grpc 1.33 over golang/protobuf 1.3, which leaves the oneofs of stubs out that a newer
// generator made. As a Go module, grpc encodes in this way by itself.
func init() {
	encoding.RegisterCodec(codec{})
}

type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(message interface{}) ([]byte, error) {
	return proto.Marshal(message.(proto.Message))
}

func (codec) Unmarshal(data []byte, message interface{}) error {
	return proto.Unmarshal(data, message.(proto.Message))
}
