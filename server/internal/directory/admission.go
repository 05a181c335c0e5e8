package directory

import (
	"encoding/json"
	"fmt"
	"time"
)

// MaxCredentials bounds the credentials of one service that have not ended: what a client presents
// is tried against each. Bootstrap credentials, which are found by their id, do not count.
const MaxCredentials = 100

// MaxAnchored bounds the credentials of one trust that have not ended and are found by the same claim: a token is held
// against each.
const MaxAnchored = 100

// materialFields are what operators call the material of each kind that they bring themselves.
var materialFields = map[Kind]string{KindKey: "jwk", KindJWKS: "jwksUri", KindCertificate: "certificate", KindTLSSubject: "tlsSubject", KindWorkload: "claims"}

// admits reports whether c, which is new, goes together with the credentials its service has.
func (s *Snapshot) admits(c *Credential, now time.Time) error {
	if c.Kind == KindBootstrap {
		return nil
	}
	live := 0
	for _, o := range s.CredentialsOf(c.Service) {
		if o.Kind == KindBootstrap || o.Ended(now) {
			continue
		}
		if live++; live >= MaxCredentials {
			return &InvalidError{"service", fmt.Sprintf("has %d credentials that have not ended; revoke those that are not used", live)}
		}
		if err := c.clashes(o); err != nil {
			return err
		}
	}
	for _, a := range s.trusts.anchorsOf(c) {
		all, _ := s.trusts.byAnchor.Find(a)
		if live := countFunc(all, func(o *Credential) bool { return !o.Ended(now) }); live >= MaxAnchored {
			return &InvalidError{materialFields[c.Kind], fmt.Sprintf("have the value of %s that %d credentials of this trust name already; revoke those that are not used", a.claim, live)}
		}
	}
	return nil
}

func countFunc[T any](all []T, is func(T) bool) (n int) {
	for _, v := range all {
		if is(v) {
			n++
		}
	}
	return n
}

// clashes refuses what could not be told apart from o, another credential of the same service. Keys
// are chosen by their id (RFC 7515, section 4.1.4), so two of one id would be one too many.
func (c *Credential) clashes(o *Credential) error {
	switch {
	case c.Kind != o.Kind || c.Trust != o.Trust:
		return nil
	case c.Kind == KindWorkload && c.Material == o.Material:
		return &InvalidError{materialFields[c.Kind], "are those of credential " + o.ID + " already"}
	case c.Material == o.Material:
		return &InvalidError{materialFields[c.Kind], "is that of credential " + o.ID + " already"}
	case c.Kind == KindKey && keyID(c.Material) == keyID(o.Material):
		return &InvalidError{materialFields[c.Kind], fmt.Sprintf("has the kid %q, as credential %s has; revoke that, or give this another one", keyID(c.Material), o.ID)}
	}
	return nil
}

// keyID reads the kid of a JWK that was checked, and written anew, by whoever made it a Material.
func keyID(jwk string) string {
	var k struct {
		ID string `json:"kid"`
	}
	if json.Unmarshal([]byte(jwk), &k) != nil {
		return jwk
	}
	return k.ID
}

// Ended reports whether c will never be good again.
func (c *Credential) Ended(now time.Time) bool {
	return !c.RevokedAt.IsZero() || !now.Before(c.ExpiresAt)
}
