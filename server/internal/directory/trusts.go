package directory

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/cowmap"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// trusts is the part of a Snapshot that answers which trust a token is of, and which credentials its claims may be those of.
type trusts struct {
	byID, byName, byIssuer cowmap.Map[string, *Trust]
	byAnchor               cowmap.Map[anchor, []*Credential]
}

// anchor is a claim by which workload credentials of a trust are found.
type anchor struct{ trust, claim, value string }

func collectTrusts(st *State) (t trusts) {
	n := len(st.Trusts)
	t.byID = cowmap.Collect(n, indexed(st.Trusts, func(t *Trust) string { return t.ID }))
	t.byName = cowmap.Collect(n, indexed(st.Trusts, func(t *Trust) string { return t.Name }))
	t.byIssuer = cowmap.Collect(n, indexed(st.Trusts, func(t *Trust) string { return t.Issuer }))
	anchored := map[anchor][]*Credential{}
	for i := range st.Credentials {
		c := &st.Credentials[i]
		for _, a := range t.anchorsOf(c) {
			anchored[a] = append(anchored[a], c)
		}
	}
	t.byAnchor = cowmap.Collect(len(anchored), func(yield func(anchor, []*Credential) bool) {
		for a, all := range anchored {
			slices.SortFunc(all, byID)
			if !yield(a, all) {
				return
			}
		}
	})
	return t
}

// anchorsOf are what c is found by: nothing, if it is of another kind or its trust is gone.
func (t *trusts) anchorsOf(c *Credential) (all []anchor) {
	if c.Kind != KindWorkload {
		return nil
	}
	of, ok := t.byID.Find(c.Trust)
	if !ok {
		return nil
	}
	claims, err := ParseClaims(c.Material)
	if err != nil { // written by a newer version
		return nil
	}
	for _, a := range trust.Anchors(of.Preset, claims) {
		all = append(all, anchor{c.Trust, a[0], a[1]})
	}
	return all
}

func (t *trusts) withWorkload(c *Credential) {
	for _, a := range t.anchorsOf(c) {
		others, _ := t.byAnchor.Find(a)
		all := append(slices.Clone(others), c)
		slices.SortFunc(all, byID)
		t.byAnchor = t.byAnchor.With(a, all)
	}
}

func (t *trusts) withoutWorkload(c *Credential) {
	for _, a := range t.anchorsOf(c) {
		all, _ := t.byAnchor.Find(a)
		all = slices.DeleteFunc(slices.Clone(all), func(o *Credential) bool { return o.ID == c.ID })
		if len(all) == 0 {
			t.byAnchor = t.byAnchor.Without(a)
		} else {
			t.byAnchor = t.byAnchor.With(a, all)
		}
	}
}

// Trust finds a trust by its id.
func (s *Snapshot) Trust(id string) (*Trust, bool) { return s.trusts.byID.Find(id) }

// TrustByName finds a trust by its name.
func (s *Snapshot) TrustByName(name string) (*Trust, bool) { return s.trusts.byName.Find(name) }

// TrustByIssuer finds the trust whose tokens have exactly that iss.
func (s *Snapshot) TrustByIssuer(issuer string) (*Trust, bool) { return s.trusts.byIssuer.Find(issuer) }

// Trusts ranges over the trusts, in no order.
func (s *Snapshot) Trusts() iter.Seq[*Trust] {
	return func(yield func(*Trust) bool) {
		for _, t := range s.trusts.byID.All() {
			if !yield(t) {
				return
			}
		}
	}
}

// Workloads are the workload credentials of a trust that name the claim with the value, by id, but for those that have
// ended a while ago. Not to be changed.
func (s *Snapshot) Workloads(trustID, claim, value string) []*Credential {
	all, _ := s.trusts.byAnchor.Find(anchor{trustID, claim, value})
	return all
}

// Rival finds a workload credential of another service that tokens match which match c: one that may be used, and that has
// all claims of c, or only claims that c has. A request with such a token must name its service. Of paths of SPIFFE IDs
// it finds those above a SPIFFE ID, and not the SPIFFE IDs below a path.
func (s *Snapshot) Rival(c *Credential, now time.Time) (*Credential, *Service) {
	wanted, err := ParseClaims(c.Material)
	if c.Kind != KindWorkload || err != nil {
		return nil, nil
	}
	for _, a := range s.trusts.anchorsOf(c) {
		for _, value := range slices.Compact([]string{a.value, ""}) { // "" has the paths of SPIFFE IDs
			for _, o := range s.Workloads(c.Trust, a.claim, value) {
				claims, err := ParseClaims(o.Material)
				if o.Service == c.Service || o.Ended(now) || err != nil || !covers(claims, wanted) && !covers(wanted, claims) {
					continue
				}
				if svc, ok := s.ServiceByUID(o.Service); ok {
					return o, svc
				}
			}
		}
	}
	return nil, nil
}

// covers reports whether every token that has the claims more also has those of less.
func covers(less, more map[string]string) bool {
	for name, value := range less {
		path := strings.HasPrefix(value, "spiffe://") && strings.HasSuffix(value, "/")
		if got := more[name]; got != value && (!path || !strings.HasPrefix(got, value)) {
			return false
		}
	}
	return len(less) > 0
}

// workloadsOf are the credentials of a trust that have not ended. It looks at every credential: to remove a trust is rare.
func (s *Snapshot) workloadsOf(trustID string, now time.Time) (all []*Credential) {
	for _, c := range s.credentials.All() {
		if c.Trust == trustID && !c.Ended(now) {
			all = append(all, c)
		}
	}
	return all
}

// withTrust returns a snapshot in which t is as given. Its preset, and with it what its credentials are found by, never
// changes.
func (s Snapshot) withTrust(t Trust) *Snapshot {
	s.forgetTrust(t.ID)
	s.trusts.byID = s.trusts.byID.With(t.ID, &t)
	s.trusts.byName = s.trusts.byName.With(t.Name, &t)
	s.trusts.byIssuer = s.trusts.byIssuer.With(t.Issuer, &t)
	return &s
}

// withoutTrust returns a snapshot without the trust. Its credentials, which were revoked with it, are found no more by
// what tokens claim.
func (s Snapshot) withoutTrust(id string) *Snapshot {
	for a := range s.trusts.byAnchor.All() {
		if a.trust == id {
			s.trusts.byAnchor = s.trusts.byAnchor.Without(a)
		}
	}
	s.forgetTrust(id)
	return &s
}

// forgetTrust leaves alone the name and the issuer if they are those of another trust by now: of two changes that are
// applied together the later one counts.
func (s *Snapshot) forgetTrust(id string) {
	old, ok := s.Trust(id)
	if !ok {
		return
	}
	if o, ok := s.TrustByName(old.Name); ok && o.ID == id {
		s.trusts.byName = s.trusts.byName.Without(old.Name)
	}
	if o, ok := s.TrustByIssuer(old.Issuer); ok && o.ID == id {
		s.trusts.byIssuer = s.trusts.byIssuer.Without(old.Issuer)
	}
	s.trusts.byID = s.trusts.byID.Without(id)
}

// FormatClaims writes the claims that a workload credential names as its Material: a JSON object with sorted names.
func FormatClaims(claims map[string]string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(claims); err != nil {
		panic(err) // a map of strings
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// ParseClaims reads what FormatClaims wrote.
func ParseClaims(material string) (claims map[string]string, err error) {
	if err := json.Unmarshal([]byte(material), &claims); err != nil {
		return nil, fmt.Errorf("claims of a credential: %w", err)
	}
	return claims, nil
}
