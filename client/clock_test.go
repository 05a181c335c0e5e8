package client

import (
	"testing"
	"time"
	"unsafe"
)

// shiftWall returns t with its wall clock moved by d and its monotonic reading as it was:
// what time.Now returns after somebody set the clock. Package time offers no way to make
// one, so this reaches into time.Time; the caller checks that it worked.
func shiftWall(t time.Time, d time.Duration) time.Time {
	const nsecShift = 30 // seconds begin at this bit of Time.wall
	layout := (*struct{ wall uint64 })(unsafe.Pointer(&t))
	layout.wall += uint64(int64(d/time.Second)) << nsecShift
	return t
}

func TestShiftWallMovesOnlyTheWallClock(t *testing.T) {
	now := time.Now()
	for _, d := range []time.Duration{time.Hour, -time.Hour} {
		shifted := shiftWall(now, d)
		if shifted.Sub(now) != 0 || shifted.Round(0).Sub(now.Round(0)) != d {
			t.Fatalf("shift by %v: monotonic moved %v, wall %v", d, shifted.Sub(now), shifted.Round(0).Sub(now.Round(0)))
		}
	}
}

// SCL-010. The age of a token is by the monotonic clock: a wall clock set an hour forward
// or back between issue and use neither ages it nor keeps it alive.
func TestWallClockJumpsDoNotChangeATokensAge(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		// The fake clock of synctest has no monotonic reading of its own; the real one
		// is used, and time passes by Add, which moves both.
		now := time.Now()
		s := &fakeServer{ttl: 15 * time.Minute}
		c := newClient(t, s, func(cfg *Config) { cfg.Now = func() time.Time { return now } })
		src := c.TokenSource("m2")
		first := mustToken(t, src)
		now = shiftWall(now, jump)
		if got := mustToken(t, src); got.Reveal() != first.Reveal() || len(s.requests()) != 1 {
			t.Errorf("jump %v: the token was thrown away", jump)
		}
		now = now.Add(16 * time.Minute)
		if got := mustToken(t, src); got.Reveal() == first.Reveal() {
			t.Errorf("jump %v: the token outlived its lifetime", jump)
		}
	}
}
