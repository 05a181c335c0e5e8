package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// denyList is an immutable list of what is revoked at one time.
type denyList struct {
	etag            string
	signer          string // kid
	epoch, revision int64
	state           string // the server's name for the list; empty if the server sends no updates
	issued, expires time.Time
	ids, keys       map[string]struct{}
	changed         map[string]bool // on top of ids: added (true) or removed (false) by updates
	updates         int             // since the whole list
	whole           bool            // it is as it was received, without updates
	broken          bool            // an update did not fit: the whole list must be fetched
}

func (l *denyList) denies(id string) bool {
	if added, ok := l.changed[id]; ok {
		return added
	}
	_, ok := l.ids[id]
	return ok
}

func (l *denyList) empty() bool { return len(l.ids) == 0 && len(l.changed) == 0 }

var (
	errOldList = errors.New("the received list is older than the known one: it is from a replica that is late, or was replayed")
	errChain   = errors.New("the update does not continue the known list")
)

// olderThan reports whether l is older than o. The epoch is raised when the server's database is restored from a
// backup, whose revisions are lower.
func (l *denyList) olderThan(o *denyList) bool {
	return l.epoch < o.epoch || l.epoch == o.epoch && l.revision < o.revision
}

// statement is the payload of a deny-list, which has denied, and of an update, which has from, add and remove.
type statement struct {
	Issuer   string   `json:"iss"`
	Issuers  []string `json:"issuers"`
	IssuedAt int64    `json:"iat"`
	Expiry   int64    `json:"exp"`
	Epoch    int64    `json:"epoch"`
	Revision int64    `json:"rev"`
	State    string   `json:"state"`
	Keys     []string `json:"keys"`

	Denied []string `json:"denied"`

	From   string   `json:"from"`
	Add    []string `json:"add"`
	Remove []string `json:"remove"`
}

// parse reads a list, or an update of the known list, and verifies its signature as that of a token.
func (f *follower) parse(ctx context.Context, compact string, known *denyList) (*denyList, error) {
	t, err := jose.ParseLong(compact, maxDenyListSize)
	if err != nil {
		return nil, err
	}
	isUpdate := isType(t, denyUpdateType)
	if !isUpdate && !isType(t, denyListType) {
		return nil, errors.New("header typ is neither " + denyListType + " nor " + denyUpdateType)
	}
	keys, err := f.verify(ctx, t)
	if err != nil {
		return nil, err
	}
	var m statement
	if err := strictjson.UnmarshalLong(t.Payload, &m); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(f.issuers, func(iss string) bool { return iss == m.Issuer || slices.Contains(m.Issuers, iss) }) {
		return nil, fmt.Errorf("its issuer is %q, not %q", m.Issuer, f.issuers)
	}
	if known != nil && slices.Contains(m.Keys, known.signer) {
		if keys, err = f.keys.newer(ctx, keys, pollEvery); err != nil {
			return nil, err
		}
		if _, published := keys.Find(known.signer); !published {
			// The key that signed the known list was revoked: a thief of the key may have made that list. Nothing in it
			// counts, neither which keys it revokes nor how new it says that it is.
			known = nil
		}
	}
	if known != nil {
		// A thief who has a revoked key could otherwise undo the revocation.
		if _, revoked := known.keys[t.KeyID]; revoked {
			return nil, ErrRevoked
		}
	}
	l := &denyList{
		signer: t.KeyID,
		epoch:  m.Epoch, revision: m.Revision, state: m.State, keys: set(m.Keys),
		issued: time.Unix(m.IssuedAt, 0), expires: time.Unix(m.Expiry, 0),
	}
	switch {
	case known != nil && l.olderThan(known):
		return nil, errOldList
	case !isUpdate:
		l.ids, l.whole = set(m.Denied), true
		return l, nil
	case known == nil || known.state == "" || m.From != known.state:
		return nil, errChain
	}
	l.apply(known, m)
	return l, nil
}

// isType compares the typ as RFC 7515, section 4.1.9, requires.
func isType(t *jose.Token, typ string) bool {
	return strings.EqualFold(t.Type, typ) || strings.EqualFold(t.Type, "application/"+typ)
}

// apply sets l to known with the update m. Changes are kept separate from the list until there are an eighth as many as
// entries, so that an update is cheap even if the list is long.
func (l *denyList) apply(known *denyList, m statement) {
	l.ids, l.changed, l.updates = known.ids, known.changed, known.updates
	if len(m.Add)+len(m.Remove) == 0 {
		return
	}
	l.updates++
	changed := make(map[string]bool, len(known.changed)+len(m.Add)+len(m.Remove))
	maps.Copy(changed, known.changed)
	for _, id := range m.Remove {
		changed[id] = false
	}
	for _, id := range m.Add {
		changed[id] = true
	}
	if l.changed = changed; len(changed) <= max(1024, len(known.ids)/8) {
		return
	}
	l.ids, l.changed = make(map[string]struct{}, len(known.ids)+len(changed)), nil
	maps.Copy(l.ids, known.ids)
	for id, added := range changed {
		if added {
			l.ids[id] = struct{}{}
		} else {
			delete(l.ids, id)
		}
	}
}

// verify checks the signature, and returns the key set that it used.
func (f *follower) verify(ctx context.Context, t *jose.Token) (*jose.KeySet, error) {
	keys, err := f.keys.current(ctx)
	if err != nil {
		return nil, err
	}
	err = t.Verify(keys, f.allowed)
	if errors.Is(err, jose.ErrUnknownKey) {
		// Only the server creates lists, and they are fetched rarely. If several keys are revoked in a short time, the
		// next list must not wait as long as tokens with unknown keys do.
		if keys, err = f.keys.newer(ctx, keys, pollEvery); err == nil {
			err = t.Verify(keys, f.allowed)
		}
	}
	return keys, err
}

func set(ids []string) map[string]struct{} {
	m := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		m[id] = struct{}{}
	}
	return m
}
