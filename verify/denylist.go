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

// denyList is what is revoked at one time. It is immutable.
type denyList struct {
	etag            string
	epoch, revision int64
	state           string // the server's name for it. Empty: the server makes no updates
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
	errOldList = errors.New("what was received is older than what is known: it comes from a replica that is late, or was replayed")
	errChain   = errors.New("the update does not begin where the list at hand ends")
)

// olderThan reports whether l is of an earlier moment than o. The epoch is raised when the server's database is put
// back to a backup, whose revisions are lower.
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

// parse believes a list, or an update of the one that is known, as it believes a token: by the key that signed it.
func (f *follower) parse(ctx context.Context, compact string, known *denyList) (*denyList, error) {
	t, err := jose.ParseLong(compact, maxDenyListSize)
	if err != nil {
		return nil, err
	}
	isUpdate := isType(t, denyUpdateType)
	if !isUpdate && !isType(t, denyListType) {
		return nil, errors.New("header typ is neither " + denyListType + " nor " + denyUpdateType)
	}
	if err := f.verify(ctx, t, known); err != nil {
		return nil, err
	}
	var m statement
	if err := strictjson.UnmarshalLong(t.Payload, &m); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(f.issuers, func(iss string) bool { return iss == m.Issuer || slices.Contains(m.Issuers, iss) }) {
		return nil, fmt.Errorf("it is of %q, not of %q", m.Issuer, f.issuers)
	}
	l := &denyList{
		epoch: m.Epoch, revision: m.Revision, state: m.State, keys: set(m.Keys),
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

// isType compares as RFC 7515, section 4.1.9 asks.
func isType(t *jose.Token, typ string) bool {
	return strings.EqualFold(t.Type, typ) || strings.EqualFold(t.Type, "application/"+typ)
}

// apply makes l what known becomes by an update. What changed is kept apart from the list until it is an eighth of it,
// so that an update costs little however long the list is.
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

// verify also refuses a key that the last list revoked: a thief who has it could take the revocation back.
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
		// Only the server makes lists, and they are fetched in measure: when keys are revoked
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
