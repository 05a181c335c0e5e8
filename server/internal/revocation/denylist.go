package revocation

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/cowmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// The types keep a deny-list and an update of one from passing for any other JWT (RFC 8725, section 3.11).
const (
	denyListType   = "denylist+jwt"
	denyUpdateType = "denylist-update+jwt"
)

// denyListLife is how long a deny-list is good, and how long an update is.
const denyListLife = 24 * time.Hour

// SignAgainAfter is how old a whole list may be that is answered: its age is what a verifier that fails closed
// counts from.
const SignAgainAfter = 5 * time.Second

// edition is what is revoked at one time. All but the signed texts is immutable.
type edition struct {
	// What it was made of. What has ended by hour is not in it.
	edition  uint64
	denials  directory.Denials
	revision int64
	epoch    int64
	hour     time.Time
	keyID    string // of the key that signs

	keys   []string
	n      int // ids
	sum    sum // of ids and keys
	state  string
	places cowmap.Map[string, []int] // the indices of revoked tokens by status list

	// changed is closed when an edition of another state is in force.
	changed chan struct{}

	mu      sync.Mutex
	whole   signed
	updates map[string]signed // by the state they begin from
}

// signed is a text and when it was signed.
type signed struct {
	keyID string
	body  []byte
	at    time.Time
}

func (s signed) recent(keyID string, now time.Time, within time.Duration) bool {
	age := now.Sub(s.at)
	return s.body != nil && s.keyID == keyID && 0 <= age && age < within
}

// update makes a new edition if another snapshot is in force that denies something else, and keeps the step from
// the one before. Most changes of the directory are about something else, and cost one comparison.
func (p *Publisher) update() error {
	p.building.Lock()
	defer p.building.Unlock()
	old, s, now := p.edition.Load(), p.directory.Snapshot(), p.directory.Ended()
	signer, err := p.signer()
	if err != nil {
		return err
	}
	hour := now.Truncate(renewEvery)
	e := &edition{
		edition: s.DenialsEdition(), denials: s.Denials(), revision: s.Revision(), epoch: s.Epoch(), hour: hour,
		keyID: signer.ID(), keys: p.revokedKeys(s, hour), updates: map[string]signed{},
	}
	if old != nil && old.edition == e.edition && old.epoch == e.epoch && old.keyID == e.keyID && old.hour.Equal(hour) && slices.Equal(old.keys, e.keys) {
		return nil
	}
	if old == nil {
		old = &edition{}
	}
	step := e.follow(old)
	e.changed = make(chan struct{})
	if old.changed != nil && e.state == old.state && e.epoch == old.epoch {
		e.changed = old.changed
	} else if old.changed != nil {
		if e.state != old.state {
			p.history.add(step, e.n)
		}
		defer close(old.changed)
	}
	p.edition.Store(e)
	return nil
}

// revokedKeys are the ids of access keys that were revoked while tokens they signed can be alive.
func (p *Publisher) revokedKeys(s *directory.Snapshot, hour time.Time) []string {
	ids := []string{}
	for _, k := range p.keys.List() {
		if k.Use == keys.UseAccess && k.State == keys.StateRevoked && k.RevokedAt.Add(s.TokenLife()).After(hour) {
			ids = append(ids, k.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// listed reports whether a denial is in the list of that hour.
func listed(d directory.Denial, hour time.Time) bool { return d.Until.IsZero() || d.Until.After(hour) }

// follow fills e in from old and from what differs, and returns that.
func (e *edition) follow(old *edition) step {
	st := step{from: old.state, keys: e.keys}
	e.n, e.sum, e.places = old.n, old.sum, old.places
	change := func(id string, before, after directory.Denial, was, is bool) {
		was, is = was && listed(before, old.hour), is && listed(after, e.hour)
		if was && (!is || before.Status != after.Status) {
			e.place(before.Status, false)
		}
		if is && (!was || before.Status != after.Status) {
			e.place(after.Status, true)
		}
		switch {
		case was && !is:
			e.n, e.sum, st.remove = e.n-1, e.sum.minus(digest(id)), append(st.remove, id)
		case is && !was:
			e.n, e.sum, st.add = e.n+1, e.sum.plus(digest(id)), append(st.add, id)
		}
	}
	if !old.hour.Equal(e.hour) {
		// Some have ended that are in both maps.
		for id, d := range old.denials.All() {
			after, ok := e.denials.Find(id)
			change(id, d, after, true, ok)
		}
		for id, d := range e.denials.All() {
			if _, ok := old.denials.Find(id); !ok {
				change(id, directory.Denial{}, d, false, true)
			}
		}
	} else {
		for d := range cowmap.Differences(old.denials, e.denials, func(a, b directory.Denial) bool { return a == b }) {
			change(d.Key, d.Old, d.New, d.InOld, d.InNew)
		}
	}
	for _, id := range old.keys {
		e.sum = e.sum.minus(digest("key " + id))
	}
	for _, id := range e.keys {
		e.sum = e.sum.plus(digest("key " + id))
	}
	e.state = e.sum.String()
	st.to = e.state
	return st
}

// place notes that the token whose place in a status list is status is revoked, or no longer listed.
func (e *edition) place(status string, revoked bool) {
	list, index, ok := strings.Cut(status, "/")
	if !ok {
		return
	}
	n, err := strconv.Atoi(index)
	if err != nil || n < 0 || n >= listSize {
		return
	}
	known, _ := e.places.Find(list)
	at, found := slices.BinarySearch(known, n)
	if found == revoked {
		return
	}
	switch known = slices.Clone(known); {
	case revoked:
		known = slices.Insert(known, at, n)
	default:
		known = slices.Delete(known, at, at+1)
	}
	if len(known) == 0 {
		e.places = e.places.Without(list)
	} else {
		e.places = e.places.With(list, known)
	}
}

// list is the whole deny-list, signed a moment ago.
func (p *Publisher) list(e *edition) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := p.o.Now()
	if e.whole.recent(e.keyID, now, SignAgainAfter) {
		return e.whole.body, nil
	}
	signer, err := p.signer()
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, e.n)
	for id, d := range e.denials.All() {
		if listed(d, e.hour) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	payload := p.head(e, now, 47*len(ids))
	payload.WriteString(`,"state":"` + e.state + `","denied":`)
	writeStrings(payload, ids)
	payload.WriteString(`,"keys":`)
	writeStrings(payload, e.keys)
	payload.WriteByte('}')
	e.whole, err = sign(signer, denyListType, payload, now)
	return e.whole.body, err
}

func sign(signer *jose.Signer, typ string, payload *bytes.Buffer, now time.Time) (signed, error) {
	token, err := signer.Sign(typ, payload.Bytes())
	if err != nil {
		return signed{}, err
	}
	return signed{signer.ID(), []byte(token), now}, nil
}

// head begins what is signed with the claims that a list and an update share.
func (p *Publisher) head(e *edition, now time.Time, size int) *bytes.Buffer {
	revision := e.revision
	if s := p.directory.Snapshot(); s.DenialsEdition() == e.edition && s.Epoch() == e.epoch {
		revision = s.Revision() // what changed since is about something else
	}
	head, _ := json.Marshal(struct { // strings and numbers
		Issuer   string   `json:"iss"`
		Issuers  []string `json:"issuers"`
		IssuedAt int64    `json:"iat"`
		Expiry   int64    `json:"exp"`
		Epoch    int64    `json:"epoch"`
		Revision int64    `json:"rev"`
	}{p.o.Issuer, []string{p.o.Issuer, p.o.PlainIssuer}, now.Unix(), now.Add(denyListLife).Unix(), e.epoch, revision})
	b := bytes.NewBuffer(make([]byte, 0, len(head)+size+1024))
	b.Write(head[:len(head)-1])
	return b
}

// writeStrings writes ids, which hardly ever have anything to escape.
func writeStrings(b *bytes.Buffer, ids []string) {
	b.WriteByte('[')
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		if strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
			quoted, _ := json.Marshal(id) // a string
			b.Write(quoted)
			continue
		}
		b.WriteByte('"')
		b.WriteString(id)
		b.WriteByte('"')
	}
	b.WriteByte(']')
}
