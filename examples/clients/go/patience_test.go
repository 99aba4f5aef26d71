package main

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestPausesDouble(t *testing.T) {
	want := []time.Duration{250, 500, 1000, 2000, 4000, 5000, 5000}
	var pause time.Duration
	for i, milliseconds := range want {
		if pause = nextPause(pause); pause != milliseconds*time.Millisecond {
			t.Errorf("pause %d is %v", i, pause)
		}
	}
}

func TestPausesVary(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := 0; i < 1000; i++ {
		for _, test := range []struct{ pause, asked, least, most time.Duration }{
			{time.Second, 0, 800 * time.Millisecond, 1200 * time.Millisecond},
			{time.Second, 900 * time.Millisecond, 900 * time.Millisecond, 1200 * time.Millisecond},
			{time.Second, 7 * time.Second, 7 * time.Second, 8400 * time.Millisecond},
		} {
			got := vary(test.pause, test.asked)
			if got < test.least || got > test.most {
				t.Fatalf("%v, and %v asked: %v", test.pause, test.asked, got)
			}
			seen[got] = true
		}
	}
	if len(seen) < 100 {
		t.Errorf("only %d pauses", len(seen))
	}
}

func TestWhatPasses(t *testing.T) {
	for name, test := range map[string]struct {
		failure *status.Status
		met     bool
		want    bool
	}{
		"full":              {withDetails(codes.ResourceExhausted, queueFull, 0), false, true},
		"too large":         {status.New(codes.ResourceExhausted, "message larger than max"), true, false},
		"nobody there":      {status.New(codes.Unavailable, "refused"), false, false},
		"nobody there now":  {status.New(codes.Unavailable, "refused"), true, true},
		"starting":          {withDetails(codes.Unavailable, starting, 2*time.Second), false, true},
		"draining at first": {withDetails(codes.Unavailable, "DRAINING", 0), false, false},
		"draining":          {withDetails(codes.Unavailable, "DRAINING", 0), true, true},
		"no token":          {withDetails(codes.Unauthenticated, "NO_CREDENTIALS", 0), true, false},
		"a defect":          {withDetails(codes.Internal, "INTERNAL_ERROR", 0), true, false},
	} {
		if got := passing(test.failure, test.met); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWait(t *testing.T) {
	full := withDetails(codes.ResourceExhausted, queueFull, 30*time.Millisecond)
	var p patience
	started := time.Now()
	if err := p.wait(context.Background(), full.Err(), false); err != nil || time.Since(started) < 200*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(started))
	}
	p.since = time.Now().Add(-longestOutage)
	if err := p.wait(context.Background(), full.Err(), false); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("after a minute: %v", err)
	}
	p.answered()
	if p != (patience{}) {
		t.Error("an answer did not begin anew")
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	var p patience
	full := withDetails(codes.ResourceExhausted, queueFull, time.Hour).Err()
	for i := 0; i < 2; i++ { // while it waits, and before it
		if err := p.wait(ctx, full, false); status.Code(err) != codes.DeadlineExceeded {
			t.Error(err)
		}
	}
}
