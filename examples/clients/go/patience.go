package main

import (
	"context"
	"math/rand"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	firstPause = 250 * time.Millisecond
	// Not longer, so that a worker that is back is soon noticed.
	longestPause = 5 * time.Second
	// Enough to start a worker again; what lasts longer wants a person.
	longestOutage = 60 * time.Second
)

// patience is how long a call is repeated while the worker is full or away.
type patience struct {
	since time.Time     // of the first failure after the last answer
	last  time.Duration // pause before it is varied; zero before the first
}

// answered begins anew: the worker is there.
func (p *patience) answered() { *p = patience{} }

// wait pauses before another try. It returns what ends the call instead: the failure itself when
// trying again makes no sense, or has been tried for long enough.
func (p *patience) wait(ctx context.Context, failure error, met bool) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	if p.since.IsZero() {
		p.since = time.Now()
	}
	reported := status.Convert(failure)
	if !passing(reported, met) || time.Since(p.since) >= longestOutage {
		return failure
	}
	p.last = nextPause(p.last)
	timer := time.NewTimer(vary(p.last, retryDelay(reported)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		ended := status.FromContextError(ctx.Err())
		return status.Errorf(ended.Code(), "%s while waiting to try again after: %s", ended.Message(), reported.Message())
	}
}

// passing tells whether a failure is likely to pass. Before any worker has answered (met), one that is
// not there is more likely a wrong address.
func passing(failure *status.Status, met bool) bool {
	switch failure.Code() {
	case codes.ResourceExhausted:
		return reason(failure) == queueFull // without the reason, a message was too large
	case codes.Unavailable:
		return met || reason(failure) == starting
	case codes.Canceled:
		// Not by us, who would have returned by now: a call that reaches a worker as it closes.
		return met
	}
	return false
}

func nextPause(last time.Duration) time.Duration {
	switch {
	case last == 0:
		return firstPause
	case 2*last < longestPause:
		return 2 * last
	}
	return longestPause
}

// vary makes a pause up to a fifth shorter or longer, so that many clients do not come back all at
// once, and never shorter than what the worker asks for.
func vary(pause, asked time.Duration) time.Duration {
	if pause < asked {
		return asked + time.Duration(rand.Float64()*0.2*float64(asked))
	}
	varied := time.Duration((0.8 + 0.4*rand.Float64()) * float64(pause))
	if varied < asked {
		return asked
	}
	return varied
}
