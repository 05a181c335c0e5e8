package revocation

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// StatusPath is where the status lists are, below the issuer: the ids their tokens depend on with
// a dot between two, a slash, and the name of the list.
const StatusPath = "/oauth2/status/"

// listSize is how many tokens are in one status list.
const listSize = 1 << 16

const (
	maxPlace = 4 << 10 // of a path; a token that names a longer one would be too long itself
	maxDeps  = 64
	macSize  = 8
)

// places gives tokens their places. The name of a list is that of this process, at random; how
// many lists it began before; and a code that only this server and its replicas can make, so that
// nobody has it sign lists of tokens that never were.
type places struct {
	prefix string // {issuer}/oauth2/status/
	self   string // 32 random bits
	count  atomic.Int64
	codes  sync.Pool // hash.Hash, keyed: they are costly to make
}

func newPlaces(issuer string, key []byte) *places {
	var self [4]byte
	rand.Read(self[:])
	return &places{
		prefix: issuer + StatusPath, self: hex.EncodeToString(self[:]),
		codes: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }},
	}
}

// Place gives a token that depends on deps a place in a status list that no other token has, here,
// on other replicas and after a restart. It does no I/O.
func (p *Publisher) Place(deps []string) (uri string, index int64) {
	n := p.places.count.Add(1) - 1
	l := listName{strings.Join(deps, "."), p.places.self + strconv.FormatInt(n/listSize, 16)}
	return p.places.prefix + l.deps + "/" + p.places.name(l), n % listSize
}

// listName names a list.
type listName struct{ deps, number string }

func (s *places) name(l listName) string { return l.number + "." + s.code(l) }

func (s *places) code(l listName) string {
	mac := s.codes.Get().(hash.Hash)
	defer s.codes.Put(mac)
	mac.Reset()
	mac.Write([]byte(l.deps + "/" + l.number))
	var sum [sha256.Size]byte
	return base64.RawURLEncoding.EncodeToString(mac.Sum(sum[:0])[:macSize])
}

// find reads what Place wrote: the part of the path after StatusPath. ok says that it was this
// server that wrote it.
func (s *places) find(path string) (deps []string, list string, ok bool) {
	if len(path) > maxPlace {
		return nil, "", false
	}
	joined, list, ok := strings.Cut(path, "/")
	number, code, dot := strings.Cut(list, ".")
	if !ok || !dot || len(number) <= 8 || len(number) > 8+16 || !isHex(number) || strings.Count(joined, ".") >= maxDeps {
		return nil, "", false
	}
	deps = strings.Split(joined, ".")
	for _, d := range deps {
		if !isDep(d) {
			return nil, "", false
		}
	}
	if !hmac.Equal([]byte(code), []byte(s.code(listName{joined, number}))) {
		return nil, "", false
	}
	return deps, list, true
}

// isDep knows the shapes of what tokens depend on: uids of services, ids of credentials, jtis.
func isDep(s string) bool {
	if _, err := directory.ParseUID(s); err == nil {
		return true
	}
	s = strings.TrimPrefix(s, "st-")
	return len(s) == 32 && isHex(s)
}

func isHex(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}
