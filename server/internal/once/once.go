// Package once reports of a name whether it was used before, across processes and restarts. It
// does not know what the names stand for, nor how they are stored.
package once

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// Entry is a name that may be used once.
type Entry struct {
	Key string
	// Until is when the name need not be remembered any more, since a request with it is refused
	// for another reason from then on.
	Until time.Time
}

// MaxKey bounds a key, in bytes.
const MaxKey = 64

// Key makes the key of a name that has several parts, none of which is told by it. Kind keeps
// apart names that mean different things. Replicas of two versions share what they remember, so
// what this returns never changes.
func Key(kind string, parts ...string) string {
	// With their lengths, so that no two lists of parts are written alike.
	b := make([]byte, 0, 256)
	b = appendPart(b, kind)
	for _, p := range parts {
		b = appendPart(b, p)
	}
	// 128 bits: nobody makes a second name for a key that is in use (2^128), and who makes two
	// names of one key (2^64) has two names of which he can use one.
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func appendPart(b []byte, part string) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(part))), part...)
}

// check refuses a key that a store may not hold: it would be the fault of one caller and the loss
// of all who share a transaction with it.
func (e Entry) check() error {
	if len(e.Key) == 0 || len(e.Key) > MaxKey || e.Until.IsZero() {
		return errEntry
	}
	for i := range len(e.Key) {
		switch c := e.Key[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return errEntry
		}
	}
	return nil
}

var errEntry = errors.New("use once: not a key of 1 to 64 base64url characters with an end")

// Store remembers what was used.
type Store interface {
	// UseOnce remembers entries, all of them or none, and reports of each whether it was not
	// remembered before; of two with equal keys only the first is fresh. One that ended before
	// something that was forgotten is not fresh: it may be what was forgotten. When it answers, the
	// answer outlives a crash. Of several that use one key at once, wherever they are, one is
	// told that it is fresh. After an error an entry may be remembered or not.
	UseOnce(ctx context.Context, entries []Entry) (fresh []bool, err error)
	// PurgeOnce forgets, in small steps, what ended before now.
	PurgeOnce(ctx context.Context, now time.Time) error
	// Now is the clock that all share who use the store.
	Now(ctx context.Context) (time.Time, error)
}
