package revocation_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/revocation"
)

// inflate reads lst as a relying party does (draft-ietf-oauth-status-list-21, section 8.3).
func inflate(t testing.TB, lst string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(lst)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zlib.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	bits, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return bits
}

// revokedIn are the indices whose status is INVALID.
func revokedIn(bits []byte) (places []int64) {
	for n := range int64(len(bits)) * 8 {
		if bits[n/8]>>(n%8)&1 == 1 {
			places = append(places, n)
		}
	}
	return places
}

// The example of draft-ietf-oauth-status-list-21, section 4.1.
func TestBitsAreInTheOrderOfTheDraft(t *testing.T) {
	want := []int64{0, 3, 4, 5, 7, 8, 9, 13, 15}
	if got := revokedIn(inflate(t, "eNrbuRgAAhcBXQ")); !slices.Equal(got, want) {
		t.Fatalf("this test reads %v, want %v", got, want)
	}
	bits := inflate(t, revocation.EncodeList([]int{0, 3, 4, 5, 7, 8, 9, 13, 15}))
	if got := revokedIn(bits); !slices.Equal(got, want) || len(bits) != 8192 {
		t.Errorf("got %v of %d bytes, want %v", got, len(bits), want)
	}
}

func askStatus(p *revocation.Publisher, method, uri string) (*httptest.ResponseRecorder, int) {
	path, _ := strings.CutPrefix(uri, issuerURL+revocation.StatusPath)
	w := httptest.NewRecorder()
	err := p.StatusList(w, httptest.NewRequest(method, "/", nil), path)
	return w, status(w, err)
}

// readStatus fetches a list and says which of its tokens are revoked: nil, none; 65536 of them, all.
func readStatus(t testing.TB, p *revocation.Publisher, uri string) []int64 {
	t.Helper()
	w, code := askStatus(p, "GET", uri)
	if code != http.StatusOK || w.Header().Get("Content-Type") != "application/statuslist+jwt" || w.Header().Get("Cache-Control") != "public, max-age=30" {
		t.Fatalf("%s: got %d %v", uri, code, w.Header())
	}
	token, err := jose.Parse(w.Body.String())
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		IssuedAt int64  `json:"iat"`
		Expiry   int64  `json:"exp"`
		TTL      int64  `json:"ttl"`
		List     struct {
			Bits int    `json:"bits"`
			List string `json:"lst"`
		} `json:"status_list"`
	}
	if err := json.Unmarshal(token.Payload, &m); err != nil {
		t.Fatal(err)
	}
	if token.Type != "statuslist+jwt" || m.Issuer != issuerURL || m.Subject != uri || m.List.Bits != 1 || m.TTL != 30 ||
		m.Expiry-m.IssuedAt != 300 || time.Since(time.Unix(m.IssuedAt, 0)) > time.Minute {
		t.Errorf("got typ %q and %s", token.Type, token.Payload)
	}
	return revokedIn(inflate(t, m.List.List))
}

// A revoked token has its bit, on another replica and after a restart too; what it depends on has
// the bits of all.
func TestStatusListsSayWhatWasRevoked(t *testing.T) {
	r := open(t)
	ctx := t.Context()
	svc, err := r.dir.CreateService(ctx, operator, directory.NewService{Name: "m1"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.dir.AddCredential(ctx, operator, "m1", directory.NewCredential{})
	if err != nil {
		t.Fatal(err)
	}
	deps := []string{directory.FormatUID(svc.UID), c.ID}
	p, other := publish(t, r.dir, r.ring, options()), publish(t, r.dir, r.ring, options())
	var uri string
	for want := range int64(3) {
		var index int64
		if uri, index = p.Place(deps); index != want {
			t.Fatalf("got index %d, want %d", index, want)
		}
		if got := readStatus(t, other, uri); len(got) != 0 {
			t.Errorf("nothing is revoked: got %v", got)
		}
	}
	list := uri[strings.LastIndex(uri, "/")+1:]
	for _, place := range []string{list + "/1", "another/2", list + "/65536", list + "/-1", list + "/x", ""} {
		if err := r.dir.RevokeToken(ctx, operator, directory.RandomID(), time.Now().Add(time.Hour), place); err != nil {
			t.Fatal(err)
		}
	}
	again := publish(t, r.dir, r.ring, options())
	for _, p := range []*revocation.Publisher{p, other, again} {
		if err := p.Load(); err != nil {
			t.Fatal(err)
		}
		if got := readStatus(t, p, uri); !slices.Equal(got, []int64{1}) {
			t.Errorf("got %v, want [1]", got)
		}
	}
	for _, disabled := range []bool{true, false} {
		if _, err := r.dir.UpdateService(ctx, operator, "m1", directory.AnyVersion, func(s *directory.Service) { s.Disabled = disabled }); err != nil {
			t.Fatal(err)
		}
		if got := readStatus(t, other, uri); (len(got) == 65536) != disabled {
			t.Errorf("its service is disabled %t, %d tokens are", disabled, len(got))
		}
	}
	if _, err := r.dir.RevokeCredential(ctx, operator, c.ID); err != nil {
		t.Fatal(err)
	}
	if got := readStatus(t, other, uri); len(got) != 65536 { // at once: no Load
		t.Errorf("its credential is revoked, %d tokens are", len(got))
	}
	if err := r.dir.DeleteService(ctx, operator, "m1", 0); err != nil {
		t.Fatal(err)
	}
	if got := readStatus(t, other, uri); len(got) != 65536 {
		t.Errorf("its service is deleted, %d tokens are", len(got))
	}
}

func TestNoTwoTokensHaveOnePlace(t *testing.T) {
	s := newState(t)
	deps := []string{"svc_00112233445566778899aabbccddeeff", "00112233445566778899aabbccddeeff"}
	seen := map[string]bool{}
	for range 2 { // two processes
		p := publish(t, s, s, options())
		lists := map[string]bool{}
		for range 1<<16 + 9 {
			uri, index := p.Place(deps)
			if index < 0 || index >= 1<<16 {
				t.Fatalf("index %d", index)
			}
			lists[uri] = true
			seen[fmt.Sprint(uri, index)] = true
		}
		if len(lists) != 2 {
			t.Errorf("%d lists", len(lists))
		}
	}
	if len(seen) != 2<<16+18 {
		t.Errorf("%d places for %d tokens", len(seen), 2<<16+18)
	}
}

// A flood of lists that no token names has nothing signed.
func TestOnlyListsThatTokensNameAreSigned(t *testing.T) {
	s := newState(t)
	p := publish(t, s, s, options())
	jti := directory.RandomID()
	s.deny(directory.Revocation{ID: jti, Until: time.Now().Add(time.Hour)}) // made-up lists of what is denied too
	uri, _ := p.Place([]string{jti})
	before := s.signatures()
	readStatus(t, p, uri)
	readStatus(t, p, uri)
	if got := s.signatures() - before; got != 1 {
		t.Errorf("the same list twice: %d signatures", got)
	}
	at := strings.LastIndexByte(uri, '/')
	head, list := uri[:at], uri[at:]
	before = s.signatures()
	for _, u := range []string{
		head, head + "/", head + list[:len(list)-1] + "x", head + list + "/", head + "." + jti + list, head + list[:1] + "0" + list[1:],
		uri + "%00", strings.ToUpper(uri), issuerURL + revocation.StatusPath, issuerURL + revocation.StatusPath + "/" + list,
		issuerURL + revocation.StatusPath + strings.Repeat(jti+".", 1000) + list, head + "//" + list, head + "/00000000.AAAAAAAAAAA",
	} {
		if _, code := askStatus(p, "GET", u); code != 404 {
			t.Errorf("%s: got %d", u, code)
		}
	}
	if got := s.signatures() - before; got != 0 {
		t.Errorf("%d signatures", got)
	}
	other := options()
	other.StatusKey = []byte("of another server")
	if _, code := askStatus(publish(t, s, s, other), "GET", uri); code != 404 {
		t.Errorf("of another server: got %d", code)
	}
	for method, want := range map[string]int{"HEAD": 200, "POST": 405, "PUT": 405, "OPTIONS": 405} {
		if _, code := askStatus(p, method, uri); code != want {
			t.Errorf("%s: got %d, want %d", method, code, want)
		}
	}
	s.stale = directory.ErrStale
	if _, code := askStatus(p, "GET", uri); code != 503 {
		t.Errorf("cut off from the store: got %d", code)
	}
}

// A list of a service that nobody knows any more has no tokens that are alive.
func TestListsOfServicesThatAreGoneAreNotFound(t *testing.T) {
	s := newState(t)
	p := publish(t, s, s, options())
	uri, _ := p.Place([]string{"svc_00112233445566778899aabbccddeeff", "st-00112233445566778899aabbccddeeff"})
	if _, code := askStatus(p, "GET", uri); code != 404 {
		t.Errorf("got %d", code)
	}
	s.deny(directory.Revocation{ID: "svc_00112233445566778899aabbccddeeff", Until: time.Now().Add(time.Hour)})
	if got := readStatus(t, p, uri); len(got) != 65536 {
		t.Errorf("just deleted: %d tokens are revoked", len(got))
	}
}

// What was signed is used again for half its time, as long as it is true.
func TestStatusListsAreSignedAnewInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t)
		p := publish(t, s, s, options())
		jti := directory.RandomID()
		uri, _ := p.Place([]string{jti})
		sign := func(what string, want int) {
			t.Helper()
			before := s.signatures()
			readStatus(t, p, uri)
			if got := s.signatures() - before; got != want {
				t.Errorf("%s: %d signatures, want %d", what, got, want)
			}
		}
		sign("the first time", 1)
		time.Sleep(14 * time.Second)
		sign("after 14 s", 0)
		time.Sleep(time.Second)
		sign("after 15 s", 1)
		s.rotate(t)
		if err := p.Load(); err != nil {
			t.Fatal(err)
		}
		sign("with another key", 1)
		s.deny(directory.Revocation{ID: jti, Until: time.Now().Add(time.Hour)})
		sign("once revoked", 1)
	})
}

func FuzzStatusPath(f *testing.F) {
	s := &state{}
	s.deny()
	p := revocation.New(s, s, options())
	uri, _ := p.Place([]string{"svc_00112233445566778899aabbccddeeff", "00112233445566778899aabbccddeeff"})
	known, _ := strings.CutPrefix(uri, issuerURL+revocation.StatusPath)
	for _, seed := range []string{known, "", "/", ".", "a.b/c.d", "svc_00112233445566778899aabbccddeeff/0000000000.AAAAAAAAAAA", strings.Repeat(".", 100) + "/0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		deps, list, ok := revocation.Find(p, path)
		if !ok {
			return
		}
		// Another process of the fuzzer may have made it, with the same key.
		if strings.Join(deps, ".")+"/"+list != path || !strings.HasPrefix(path, known[:strings.IndexByte(known, '/')]) {
			t.Errorf("%q was never made", path)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"wait=1", "wait=25", "wait=", "wait=%31", "a=b&wait=3", "since=x&epoch=1&rev=2", "epoch=-1", "wait=1&wait=2", ";", "%zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if wait, err := revocation.ParseQuery(query); err == nil && (wait < 0 || wait > 25*time.Second) {
			t.Errorf("%q waits %v", query, wait)
		}
	})
}
