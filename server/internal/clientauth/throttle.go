package clientauth

import (
	"net/netip"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/throttle"
)

// Wrong secrets a client may send from one network at once, and then one every refill.
const (
	GuessBurst  = 20
	GuessRefill = time.Second
	MaxGuessers = 4096 // some 200 bytes each
)

// guesses slows down callers that try secrets (RFC 6749, section 2.3.1: "MUST protect any endpoint
// utilizing it against brute force attacks"). Only secrets are guessed: an assertion or a
// certificate is right or forged.
//
// A client is counted together with its network, so that nobody keeps it from its tokens from
// elsewhere. While they wait, the right secret is refused with the wrong ones: else waiting would
// slow nobody down. But a secret that was right from this network before is no guess, and
// goes on being heard: behind one proxy all share an address, and one of them could otherwise
// keep the others from their tokens.
type guesses struct {
	failures *throttle.Counter[guesser]
	right    recent[guess, struct{}]
}

func newGuesses() *guesses {
	return &guesses{failures: throttle.New[guesser](GuessBurst, GuessRefill, MaxGuessers)}
}

// guesser is a client as it calls itself, and where it is.
type guesser struct {
	client  string
	network netip.Prefix
}

// guess is one secret of a guesser, hashed.
type guess struct {
	guesser
	hash string
}

// maxName is longer than the name of any service: those that differ later are counted as one.
const maxName = 129

func (*guesses) guess(client, hash string, from netip.Addr) guess {
	return guess{guesser{client[:min(len(client), maxName)], throttle.Network(from)}, hash}
}

// wait is how long the guesser has to, or zero.
func (s *guesses) wait(g guess, now time.Time) time.Duration {
	wait := s.failures.Wait(g.guesser, now)
	if wait == 0 {
		return 0
	}
	if _, ok := s.right.find(g); ok {
		return 0
	}
	return wait
}

// charge counts a wrong secret, and returns how long to wait if there were too many already.
func (s *guesses) charge(g guess, now time.Time) time.Duration {
	g.client = strings.Clone(g.client) // not the whole request with it
	return s.failures.Charge(g.guesser, now)
}

// proved remembers a right secret.
func (s *guesses) proved(g guess) {
	if _, ok := s.right.find(g); !ok {
		g.client = strings.Clone(g.client)
		s.right.add(g, struct{}{})
	}
}
