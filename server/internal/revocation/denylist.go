package revocation

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// denyListType keeps a deny-list from passing for any other JWT (RFC 8725, section 3.11).
const denyListType = "denylist+jwt"

// denyListLife is how long a deny-list is good. It is signed anew every hour.
const denyListLife = 24 * time.Hour

// edition is what was revoked, at one time. It is immutable.
type edition struct {
	// All that it was made of. What has ended by hour is not in it.
	denials uint64
	hour    time.Time
	keys    []string

	// says is the JSON of `denied` and `keys`, and etag a name for it.
	says []byte
	etag string
	// places are the indices of revoked tokens by status list.
	places map[string][]int

	keyID string // of the key that signed body
	body  []byte // the deny-list

	// changed is closed when an edition with another etag is in force.
	changed chan struct{}
}

// update makes a new edition if there is something new to say. Most changes of the directory are
// about something else, and cost one comparison.
func (p *Publisher) update() error {
	p.building.Lock()
	defer p.building.Unlock()
	old, s, now := p.edition.Load(), p.directory.Snapshot(), p.o.Now()
	signer, err := p.signer()
	if err != nil {
		return err
	}
	hour := now.Truncate(renewEvery)
	e := &edition{denials: s.DenialsEdition(), hour: hour, keys: p.revokedKeys(hour), keyID: signer.ID()}
	same := old != nil && old.denials == e.denials && old.hour.Equal(hour) && slices.Equal(old.keys, e.keys)
	switch {
	case same && old.keyID == e.keyID:
		return nil
	case same:
		e.says, e.etag, e.places = old.says, old.etag, old.places
	default:
		e.read(s)
	}
	if e.body, err = p.signList(signer, e, s.Revision(), now); err != nil {
		return err
	}
	if old != nil && old.etag == e.etag {
		e.changed = old.changed
		p.edition.Store(e)
		return nil
	}
	e.changed = make(chan struct{})
	p.edition.Store(e)
	if old != nil {
		close(old.changed)
	}
	return nil
}

// revokedKeys are the ids of access keys that were revoked while tokens they signed can be alive.
func (p *Publisher) revokedKeys(hour time.Time) []string {
	ids := []string{}
	for _, k := range p.keys.List() {
		if k.Use == keys.UseAccess && k.State == keys.StateRevoked && k.RevokedAt.Add(p.o.MaxTokenTTL).After(hour) {
			ids = append(ids, k.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// read takes from the snapshot what there is to say.
func (e *edition) read(s *directory.Snapshot) {
	var ids []string
	e.places = map[string][]int{}
	size := 0
	for id, d := range s.Denials() {
		if !d.Until.IsZero() && !d.Until.After(e.hour) {
			continue
		}
		ids = append(ids, id)
		size += len(id) + 3
		if list, index, ok := strings.Cut(d.Status, "/"); ok {
			if n, err := strconv.Atoi(index); err == nil && n >= 0 && n < listSize {
				e.places[list] = append(e.places[list], n)
			}
		}
	}
	slices.Sort(ids)
	for _, of := range e.places {
		slices.Sort(of)
	}
	b := bytes.NewBuffer(make([]byte, 0, size+64*len(e.keys)+64))
	b.WriteString(`"denied":`)
	writeStrings(b, ids)
	b.WriteString(`,"keys":`)
	writeStrings(b, e.keys)
	e.says = b.Bytes()
	// Not over the signature, which is another each time: replicas shall agree.
	sum := sha256.Sum256(e.says)
	e.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
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

func (p *Publisher) signList(signer *jose.Signer, e *edition, revision int64, now time.Time) ([]byte, error) {
	head, err := json.Marshal(struct {
		Issuer   string   `json:"iss"`
		Issuers  []string `json:"issuers"`
		IssuedAt int64    `json:"iat"`
		Expiry   int64    `json:"exp"`
		Revision int64    `json:"rev"`
	}{p.o.Issuer, []string{p.o.Issuer, p.o.PlainIssuer}, now.Unix(), now.Add(denyListLife).Unix(), revision})
	if err != nil {
		return nil, err
	}
	payload := make([]byte, 0, len(head)+len(e.says)+1)
	payload = append(payload, head[:len(head)-1]...)
	payload = append(payload, ',')
	payload = append(payload, e.says...)
	payload = append(payload, '}')
	token, err := signer.Sign(denyListType, payload)
	return []byte(token), err
}
