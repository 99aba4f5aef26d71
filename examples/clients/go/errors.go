package main

import (
	"strings"
	"time"

	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// Reasons of the worker's errors that a client treats in a way of their own; the contract lists them all.
const (
	queueFull = "QUEUE_FULL"
	starting  = "STARTING"
)

// reason is what the worker's ErrorInfo says; empty for errors of the transport, which have none.
func reason(failure *status.Status) string {
	for _, detail := range failure.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// retryDelay is how long the worker asks to wait before another try; zero when it does not say.
func retryDelay(failure *status.Status) time.Duration {
	for _, detail := range failure.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			delay := info.GetRetryDelay()
			return time.Duration(delay.GetSeconds())*time.Second + time.Duration(delay.GetNanos())
		}
	}
	return 0
}

// codeName is the code as the contract writes it: INVALID_ARGUMENT, where codes.Code would say
// InvalidArgument.
func codeName(failure *status.Status) string {
	return rpccode.Code(failure.Code()).String()
}

// describe puts an error on one line: "CODE (REASON): message" for a status, else its text.
func describe(err error) string {
	text := err.Error()
	if failure, ok := status.FromError(err); ok {
		text = codeName(failure)
		if reason := reason(failure); reason != "" {
			text += " (" + reason + ")"
		}
		text += ": " + failure.Message()
	}
	return strings.ReplaceAll(text, "\n", " ")
}
