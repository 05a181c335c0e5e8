package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// denyList is one deny-list. It is immutable.
type denyList struct {
	etag         string
	revision     int64
	issued       time.Time
	expires      time.Time
	denied, keys map[string]struct{}
}

var errOldList = errors.New("the list is older than the last one")

// rewound is how much later than the last one a list of a lower revision must have been made: then
// the server was put back to a backup; before, it is a replica that is late, or somebody's replay.
const rewound = time.Minute

// parse believes a list as it believes a token: by the key that signed it.
func (f *follower) parse(ctx context.Context, compact string, known *denyList) (*denyList, error) {
	t, err := jose.ParseLong(compact, maxDenyListSize)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(t.Type, denyListType) && !strings.EqualFold(t.Type, "application/"+denyListType) {
		return nil, errors.New("header typ is not " + denyListType)
	}
	if err := f.verify(ctx, t, known); err != nil {
		return nil, err
	}
	var m struct {
		Issuer   string   `json:"iss"`
		Issuers  []string `json:"issuers"`
		IssuedAt int64    `json:"iat"`
		Expiry   int64    `json:"exp"`
		Revision int64    `json:"rev"`
		Denied   []string `json:"denied"`
		Keys     []string `json:"keys"`
	}
	if err := strictjson.UnmarshalLong(t.Payload, &m); err != nil {
		return nil, err
	}
	l := &denyList{revision: m.Revision, issued: time.Unix(m.IssuedAt, 0), expires: time.Unix(m.Expiry, 0), denied: set(m.Denied), keys: set(m.Keys)}
	switch {
	case !slices.ContainsFunc(f.issuers, func(iss string) bool { return iss == m.Issuer || slices.Contains(m.Issuers, iss) }):
		return nil, fmt.Errorf("the list is of %q, not of %q", m.Issuer, f.issuers)
	case known != nil && l.revision < known.revision && l.issued.Before(known.issued.Add(rewound)):
		return nil, errOldList
	}
	return l, nil
}

// verify also refuses a key that the last list revoked: whoever has it would take that back.
func (f *follower) verify(ctx context.Context, t *jose.Token, known *denyList) error {
	if known != nil {
		if _, revoked := known.keys[t.KeyID]; revoked {
			return ErrRevoked
		}
	}
	keys, err := f.keys.current(ctx)
	if err != nil {
		return err
	}
	err = t.Verify(keys, f.allowed)
	if errors.Is(err, jose.ErrUnknownKey) {
		// Nobody but the server makes lists, and they are fetched in measure: when keys are revoked
		// one after the other, the next list must not wait for as long as tokens of made-up keys do.
		if keys, err = f.keys.newer(ctx, keys, pollEvery); err == nil {
			err = t.Verify(keys, f.allowed)
		}
	}
	return err
}

func set(ids []string) map[string]struct{} {
	m := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		m[id] = struct{}{}
	}
	return m
}
