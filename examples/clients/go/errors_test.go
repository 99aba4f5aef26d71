package main

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// withDetails is a status as workers make them.
func withDetails(code codes.Code, reason string, delay time.Duration) *status.Status {
	retry := &errdetails.RetryInfo{}
	// Its type is of another package in genproto of 2020, which Debian 12 has.
	duration := reflect.New(reflect.TypeOf(retry.RetryDelay).Elem())
	duration.Elem().FieldByName("Seconds").SetInt(int64(delay / time.Second))
	duration.Elem().FieldByName("Nanos").SetInt(int64(delay % time.Second))
	reflect.ValueOf(retry).Elem().FieldByName("RetryDelay").Set(duration)
	s, err := status.New(code, "told").WithDetails(retry, &errdetails.ErrorInfo{Reason: reason, Domain: "twinhead"})
	if err != nil {
		panic(err)
	}
	return s
}

func TestDescribe(t *testing.T) {
	for want, err := range map[string]error{
		"RESOURCE_EXHAUSTED (QUEUE_FULL): told": withDetails(codes.ResourceExhausted, queueFull, 0).Err(),
		"CANCELLED: one  line":                  status.Error(codes.Canceled, "one\n line"),
		"DEADLINE_EXCEEDED: late":               status.Error(codes.DeadlineExceeded, "late"),
		"open x: no such file":                  errors.New("open x: no such file"),
	} {
		if got := describe(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestRetryDelay(t *testing.T) {
	if got := retryDelay(withDetails(codes.Unavailable, starting, 1500*time.Millisecond)); got != 1500*time.Millisecond {
		t.Error(got)
	}
	if got := retryDelay(status.New(codes.Unavailable, "")); got != 0 {
		t.Error(got)
	}
}
