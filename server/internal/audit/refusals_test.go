package audit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// stranger is a request of nobody from that address.
func stranger(address string) Event {
	return Event{
		Kind: KindDecision, Outcome: Refused, Reason: "no_credential", Endpoint: "accesstoken", Unproven: true, Address: address, ID: "of a stranger",
		Target: strings.Repeat("\x7f", 4000), Scope: strings.Repeat(`"`, 4000),
	}
}

// accounted is how many requests of strangers the log in dir tells of: those with records of their
// own, and those that were only counted.
func accounted(t *testing.T, dir string) (recorded, counted uint64) {
	t.Helper()
	for _, r := range records(t, dir) {
		if r.Action == "refusals.more" {
			for _, n := range r.Detail {
				more, err := strconv.ParseUint(n, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				counted += more
			}
		} else if r.Reason == "no_credential" {
			recorded++
		}
	}
	return recorded, counted
}

// F02.
func TestRequestsWithoutAnIdentityAreCountedAfterAFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := start(t, dir, Options{})
		synctest.Wait()
		own := 0
		for range 1000 {
			p := l.Begin(stranger("192.0.2.1"))
			if p.Recorded() {
				own++
			}
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if own != NetworkBurst {
			t.Errorf("got %d records, want %d", own, NetworkBurst)
		}
		// Another network is not counted for it, and an identity that was proved is always recorded.
		if p := l.Begin(stranger("192.0.2.2")); !p.Recorded() {
			t.Error("another network's first request is not recorded")
		}
		for range 2 * OverallBurst {
			if p := l.Begin(Event{Kind: KindDecision, Outcome: Refused, Reason: "no_rule", CallerUID: "svc_1", Address: "192.0.2.1"}); !p.Recorded() {
				t.Fatal("a known caller's request is not recorded")
			}
		}
		<-time.After(SummaryEvery)
		synctest.Wait()
		if recorded, counted := accounted(t, dir); recorded != NetworkBurst+1 || counted != 1000-NetworkBurst {
			t.Errorf("got %d records and %d counted; want %d and %d", recorded, counted, NetworkBurst+1, 1000-NetworkBurst)
		}
		if got := l.Stats().Counted; got != 1000-NetworkBurst {
			t.Errorf("got %d in the statistics", got)
		}
		for _, r := range records(t, dir) {
			if r.Action == "refusals.more" && (r.Address != "192.0.2.1/32" || r.Detail["accesstoken no_credential"] != strconv.Itoa(1000-NetworkBurst)) {
				t.Errorf("got %+v", r)
			}
		}
		l.Begin(stranger("192.0.2.1")) // the next minute's, with a record: some were forgiven
		for range 50 {
			l.Begin(stranger("192.0.2.1"))
		}
		l.Close() // nothing that was counted is lost
		if recorded, counted := accounted(t, dir); recorded+counted != 1000+1+51 {
			t.Errorf("at the end: got %d and %d", recorded, counted)
		}
		sound(t, dir)
	})
}

// F02: however many addresses somebody has.
func TestRequestsOfManyNetworksTakeABoundedRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := start(t, dir, Options{})
		synctest.Wait()
		const networks, each, minutes = 10_000, 3, 3
		for range minutes {
			for range each {
				for n := range networks {
					l.Begin(stranger(fmt.Sprintf("2001:db8:0:%x::1", n)))
				}
			}
			<-time.After(SummaryEvery)
			synctest.Wait()
		}
		l.Close()
		var size int
		for _, s := range func() []segment { list, _ := segments(dir); return list }() {
			size += len(read(t, s.path))
		}
		recorded, counted := accounted(t, dir)
		if recorded+counted != networks*each*minutes {
			t.Errorf("got %d records and %d counted, of %d", recorded, counted, networks*each*minutes)
		}
		if most := OverallBurst + minutes*int(SummaryEvery/OverallRefill); recorded > uint64(most) {
			t.Errorf("got %d records, want at most %d", recorded, most)
		}
		// A record with all it may have is below 1 KiB.
		if most := 1024 * (OverallBurst + minutes*(int(SummaryEvery/OverallRefill)+MaxSummaries+1)); size > most {
			t.Errorf("got %d bytes, want at most %d", size, most)
		}
	})
}

// F02: what nobody proved takes none of the room that is left for what must be recorded.
func TestStrangersTakeNotTheLastRoomOnTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := start(t, dir, Options{})
		synctest.Wait()
		var room atomic.Bool
		l.refusals.space = room.Load
		for n := range 100 {
			if l.Begin(stranger(fmt.Sprintf("192.0.2.%d", n))).Recorded() {
				t.Fatal("recorded while there is no room")
			}
		}
		add(t, l, "of a known caller")
		<-time.After(5 * SummaryEvery)
		synctest.Wait()
		if recorded, counted := accounted(t, dir); recorded+counted != 0 {
			t.Errorf("without room: got %d and %d", recorded, counted)
		}
		room.Store(true)
		<-time.After(SummaryEvery)
		synctest.Wait()
		l.Close()
		if _, counted := accounted(t, dir); counted != 100 {
			t.Errorf("with room again: got %d counted", counted)
		}
	})
}

// F02. The last room on the disk is for all services: one that asks without end gets its share of it, the others and
// operators go on.
func TestServicesShareTheLastRoomOnTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, t.TempDir(), Options{})
		synctest.Wait()
		room := true
		l.refusals.space = func() bool { return room }
		recorded := func(e Event) bool {
			err := l.Append(t.Context(), e)
			if err != nil && !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			return err == nil
		}
		decision := func(uid string) Event { return Event{Kind: KindDecision, Outcome: Allowed, CallerUID: uid} }
		for range 10 * ShareBurst {
			if !recorded(decision("greedy")) {
				t.Fatal("held back while there is room")
			}
		}
		room = false
		n := 0
		for range 10 * ShareBurst {
			if recorded(decision("greedy")) {
				n++
			}
		}
		if n != ShareBurst {
			t.Errorf("without room: %d were recorded, want %d", n, ShareBurst)
		}
		if l.Stats().HeldBack != 9*ShareBurst || l.HasRoom() {
			t.Errorf("got %+v", l.Stats())
		}
		if !recorded(decision("modest")) {
			t.Error("another service is held back")
		}
		for range 2 * ShareBurst {
			if !recorded(Event{Kind: KindChange, Actor: "operator"}) {
				t.Fatal("the operator is held back")
			}
		}
		mints := 0
		for range 10 * ShareBurst {
			if recorded(Event{Kind: KindMint, Endpoint: "supertokens"}) {
				mints++
			}
		}
		if mints != ShareBurst {
			t.Errorf("%d tokens of the SuperTokens interface were recorded, want %d", mints, ShareBurst)
		}
		<-time.After(ShareRefill)
		if !recorded(decision("greedy")) || recorded(decision("greedy")) {
			t.Errorf("after %s: not one more was recorded", ShareRefill)
		}
	})
}
