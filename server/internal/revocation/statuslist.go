package revocation

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// Status lists are those of draft-ietf-oauth-status-list-21.
const (
	statusListType = "statuslist+jwt" // section 5.1
	// statusTTL is how long a list may be used before it is fetched again, and statusLife how long
	// at all.
	statusTTL  = 30 * time.Second
	statusLife = 5 * time.Minute
)

var notFound = &web.Error{Status: http.StatusNotFound, Code: "not_found", Description: "there is no such status list"}

// StatusList is GET {issuer}/oauth2/status/...; path is what follows that.
func (p *Publisher) StatusList(w http.ResponseWriter, r *http.Request, path string) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return web.Method("GET, HEAD")
	}
	// One that no token names is not found, and costs no signature.
	deps, list, ok := p.places.find(path)
	if !ok {
		return notFound
	}
	if err := p.directory.Fresh(); err != nil {
		return web.Unavailable("the server is cut off from its store", err)
	}
	s, e := p.directory.Snapshot(), p.edition.Load()
	if e == nil {
		return web.Unavailable("the list is not ready yet", nil)
	}
	all := slices.ContainsFunc(deps, s.Denied)
	if !all && slices.ContainsFunc(deps, func(d string) bool { return gone(s, d) }) {
		return notFound
	}
	body, err := p.statusToken(p.places.prefix+path, all, e.keyID, indicesOf(e, list))
	if err != nil {
		return web.Unavailable("the list cannot be signed", err)
	}
	h := w.Header()
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(statusTTL/time.Second)))
	h.Set("Access-Control-Allow-Origin", "*")                      // section 8.1
	web.WriteCached(w, r, "application/"+statusListType, "", body) // section 8.2
	return nil
}

// indicesOf are the places in a status list of tokens that were revoked one by one.
func indicesOf(e *edition, list string) []int {
	places, _ := e.places.Find(list)
	return places
}

// gone: a service that is neither there nor denied was deleted so long ago that its last token
// has expired.
func gone(s *directory.Snapshot, dep string) bool {
	uid, err := directory.ParseUID(dep)
	if err != nil {
		return false
	}
	_, ok := s.ServiceByUID(uid)
	return !ok
}

// signedLists are those that were asked for lately.
type signedLists struct {
	mu     sync.Mutex
	recent map[string]signedList
}

type signedList struct {
	body   []byte
	all    bool
	places []int
	keyID  string
	signed time.Time
}

const MaxSignedLists = 4096 // some 4 MiB

// statusToken is the list as a token, signed now or a moment ago.
func (p *Publisher) statusToken(uri string, all bool, keyID string, places []int) ([]byte, error) {
	now := p.o.Now()
	l := &p.signed
	l.mu.Lock()
	known, ok := l.recent[uri]
	l.mu.Unlock()
	if age := now.Sub(known.signed); ok && known.all == all && known.keyID == keyID && slices.Equal(known.places, places) && 0 <= age && age < statusTTL/2 {
		return known.body, nil
	}
	signer, err := p.signer()
	if err != nil {
		return nil, err
	}
	body, err := signer.Sign(statusListType, statusClaims(p.o.Issuer, uri, now, encodeList(all, places)))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recent == nil || len(l.recent) >= MaxSignedLists {
		l.recent = map[string]signedList{}
	}
	l.recent[uri] = signedList{[]byte(body), all, places, signer.ID(), now}
	return []byte(body), nil
}

// statusClaims: section 5.1. The iss is for those who know the drafts that required it.
func statusClaims(issuer, uri string, now time.Time, list string) []byte {
	type statusList struct {
		Bits int    `json:"bits"`
		List string `json:"lst"`
	}
	b, _ := json.Marshal(struct { // strings and numbers
		Issuer   string     `json:"iss"`
		Subject  string     `json:"sub"`
		IssuedAt int64      `json:"iat"`
		Expiry   int64      `json:"exp"`
		TTL      int        `json:"ttl"`
		List     statusList `json:"status_list"`
	}{issuer, uri, now.Unix(), now.Add(statusLife).Unix(), int(statusTTL / time.Second), statusList{1, list}})
	return b
}

// The lists that are nearly always answered.
var (
	noneRevoked = deflate(make([]byte, listSize/8))
	allRevoked  = deflate(bytes.Repeat([]byte{0xff}, listSize/8))
)

// encodeList makes lst: one bit a token, from the least significant on, 1 for INVALID, compressed
// with zlib (sections 4.1, 4.2 and 7.1).
func encodeList(all bool, places []int) string {
	switch {
	case all:
		return allRevoked
	case len(places) == 0:
		return noneRevoked
	}
	bits := make([]byte, listSize/8)
	for _, n := range places {
		bits[n/8] |= 1 << (n % 8)
	}
	return deflate(bits)
}

// compressors take most of a megabyte each.
var compressors = sync.Pool{New: func() any {
	z, _ := zlib.NewWriterLevel(nil, zlib.BestCompression) // the level is one
	return z
}}

func deflate(b []byte) string {
	var out strings.Builder
	z := compressors.Get().(*zlib.Writer)
	defer compressors.Put(z)
	encoder := base64.NewEncoder(base64.RawURLEncoding, &out)
	z.Reset(encoder)
	_, _ = z.Write(b) // into memory
	_ = z.Close()
	_ = encoder.Close()
	return out.String()
}
