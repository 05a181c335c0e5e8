package clientauth

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keysets"
)

// TrustState is what this replica has seen of the tokens of one trust since it started.
type TrustState struct {
	// Accepted is when a token proved a service last. Zero: none did.
	Accepted time.Time
	// Refused are the reasons for which tokens were refused, each with the last time. What anybody can send is not among
	// them: a token that the platform did not sign, or signed for another of its customers.
	Refused map[string]time.Time
	// UnknownKey is when a token last named a key that the trust does not have. Anybody can send one.
	UnknownKey time.Time

	logged time.Time // when the log was last told that the keys cannot be had
}

// trustStates are the states by trust. There are no more of them than trusts, and a trust has as many reasons as this
// package knows.
type trustStates struct {
	mu  sync.Mutex
	all map[string]*TrustState
}

func (s *trustStates) note(id string, failure *Failure, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.of(id)
	switch {
	case failure == nil:
		st.Accepted = now
	case failure.attention, failure.Reason == "keys_unavailable":
		st.Refused[failure.Reason] = now
	case failure.Reason == "unknown_key":
		st.UnknownKey = now
	}
}

func (s *trustStates) mayLog(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.of(id)
	if now.Sub(st.logged) < time.Minute {
		return false
	}
	st.logged = now
	return true
}

// of returns the state of a trust, with s.mu held.
func (s *trustStates) of(id string) *TrustState {
	st := s.all[id]
	if st == nil {
		if s.all == nil || len(s.all) >= directory.MaxTrusts { // of trusts that are gone
			s.all = map[string]*TrustState{}
		}
		st = &TrustState{Refused: map[string]time.Time{}}
		s.all[id] = st
	}
	return st
}

// TrustState returns what was seen of the tokens of the trust with that id.
func (a *Authenticator) TrustState(id string) TrustState {
	s := &a.workloads.states
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.all[id]
	if !ok {
		return TrustState{}
	}
	return TrustState{Accepted: st.Accepted, Refused: maps.Clone(st.Refused), UnknownKey: st.UnknownKey}
}

// TrustKeys returns the keys of tr, as far as they are known. It fetches nothing.
func (a *Authenticator) TrustKeys(tr *directory.Trust) keysets.State {
	return a.workloads.keys.State(source(tr))
}

// RefreshTrustKeys fetches the keys of tr, unless they are uploaded, or were asked for less than 30 seconds ago.
func (a *Authenticator) RefreshTrustKeys(ctx context.Context, tr *directory.Trust, now time.Time) error {
	return a.workloads.keys.Refresh(ctx, source(tr), now)
}
