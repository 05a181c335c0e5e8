package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// ADM-001.
func TestOnlyTheOperatorTokenOpensTheAPI(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PUT", "/rules/m1/m2", `{}`)
	var issued IssuedCredential
	s.must("POST", "/services/m1/credentials", `{}`).into(&issued)
	access := s.accessToken(issued.Token)
	n := 0
	for name, header := range map[string][]string{
		"no token":              {""},
		"an access token":       {"Bearer " + access},
		"a bootstrap token":     {"Bearer " + issued.Token},
		"garbage":               {"Bearer \xff\x00"},
		"nothing after Bearer":  {"Bearer "},
		"Bearer alone":          {"Bearer"},
		"the token alone":       {testToken},
		"Basic":                 {"Basic " + testToken},
		"the token and more":    {"Bearer " + testToken + "x"},
		"the token cut short":   {"Bearer " + testToken[:len(testToken)-1]},
		"the token in capitals": {"Bearer " + strings.ToUpper(testToken)},
		"two spaces":            {"Bearer  " + testToken},
		"two headers":           {"Bearer " + testToken, "Bearer " + testToken},
		"a long one":            {"Bearer " + strings.Repeat("a", 100_000)},
	} {
		for _, target := range []string{"/services", "/nowhere"} {
			r := s.request("GET", prefix+target, "")
			r.RemoteAddr = fmt.Sprintf("192.0.2.%d:4000", n)
			n++
			r.Header["Authorization"] = header
			if header[0] == "" {
				r.Header.Del("Authorization")
			}
			a := s.do(r)
			a.wantProblem(name, http.StatusUnauthorized)
			if !strings.HasPrefix(a.Header().Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s: got WWW-Authenticate %q", name, a.Header().Get("WWW-Authenticate"))
			}
		}
	}
	if a := s.ask("GET", "/services?access_token="+testToken, "", "Authorization", ""); a.Code != http.StatusUnauthorized {
		t.Errorf("the token in the query: got %d", a.Code)
	}
	if a := s.ask("GET", "/services", "", "Authorization", "bearer "+testToken); a.Code != http.StatusOK {
		t.Errorf("the scheme in lower case: got %d, want 200 (RFC 9110, section 11.1)", a.Code)
	}
}

// ADM-010.
func TestGuessingIsSlowedDownByAddress(t *testing.T) {
	now := time.Now()
	s := start(t, func(o *Options) { o.Now = func() time.Time { return now } })
	guess := func(address string) reply {
		r := s.request("GET", "/admin/v1/services", "", "Authorization", "Bearer guess")
		r.RemoteAddr = address
		return s.do(r)
	}
	got := map[int]int{}
	for i := range 1000 {
		a := guess(fmt.Sprintf("192.0.2.1:%d", 1024+i))
		got[a.Code]++
		if a.Code == http.StatusTooManyRequests {
			a.wantProblem("a guess too many", http.StatusTooManyRequests)
		}
	}
	if got[http.StatusUnauthorized] != guessBurst || got[http.StatusTooManyRequests] != 1000-guessBurst {
		t.Errorf("got %v, want %d x 401 and then 429", got, guessBurst)
	}
	if n := len(s.records("")); n != guessBurst {
		t.Errorf("got %d audit records of 1,000 guesses, want %d", n, guessBurst)
	}
	for _, address := range []string{"192.0.2.2:4000", "192.0.2.1:4000"} {
		r := s.request("GET", "/admin/v1/services", "")
		r.RemoteAddr = address
		if a := s.do(r); a.Code != http.StatusOK {
			t.Errorf("the operator at %s: got %d, want 200", address, a.Code)
		}
	}
	now = now.Add(guessRefill)
	if a := guess("192.0.2.1:4000"); a.Code != http.StatusUnauthorized {
		t.Errorf("after a while: got %d, want 401", a.Code)
	}
}

// ADM-010: who changes the address all the time meets the shared limit, and fills no memory.
func TestGuessesAreCountedInBoundedMemory(t *testing.T) {
	now := time.Now()
	g := newGuesses(func() time.Time { return now })
	address := func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	limited := 0
	for i := range 10 * maxGuessers {
		if g.charge(address(i)) > 0 {
			limited++
		}
	}
	if len(g.by) > maxGuessers || limited < 8*maxGuessers {
		t.Errorf("got %d addresses in memory, %d limited; want at most %d, and nearly all others limited", len(g.by), limited, maxGuessers)
	}
	now = now.Add(time.Minute)
	if wait := g.charge(address(10 * maxGuessers)); wait > 0 || len(g.by) != 1 {
		t.Errorf("got %s to wait and %d addresses after a minute, want room again", wait, len(g.by))
	}
	v6 := netip.MustParseAddr("2001:db8::1")
	for range guessBurst {
		g.charge(v6)
		v6 = v6.Next()
	}
	if g.charge(v6) == 0 {
		t.Error("neighbours in one IPv6 network are counted apart")
	}
	if g.charge(netip.Addr{}) != 0 {
		t.Error("a connection without an address shares the count of others")
	}
}

// ADM-016: what authenticates page tokens is random where nobody gave it.
func TestPageKeyHasNoDefault(t *testing.T) {
	a, b := New(Options{}).(*api), New(Options{}).(*api)
	if a.pages.key == b.pages.key || a.pages.key == [32]byte{} {
		t.Error("two servers have the same page key")
	}
}
