package clientauth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// F74: a credential of the SuperTokens interface is bound to a name, so its date says to which service of that name
// it belongs. One that is still to come says nothing.
func TestTrustedCredentialBelongsToTheServiceOfItsDate(t *testing.T) {
	signer := newSigner(t, "static", jose.RS256)
	b := newBench(t, func(o *clientauth.Options) {
		o.Foreign = func() *jose.KeySet { return jose.NewKeySet(signer.Public()) }
	})
	b.service("m1")
	b.edit("m1", func(s *directory.Service) { s.CreatedAt = b.now.Add(-time.Hour) })
	credential := func(iat time.Time) clientauth.Presented {
		token, err := signer.Sign("JWT", fmt.Appendf(nil, `{"iss":"auth-server","aud":"auth-server","sub":"m1","iat":%d,"exp":%d}`,
			iat.Unix(), b.now.Add(1000*time.Hour).Unix()))
		if err != nil {
			t.Fatal(err)
		}
		return clientauth.Presented{Bearer: token}
	}
	b.want("made just now", credential(b.now), "m1", "")
	b.want("made with the service", credential(b.now.Add(-time.Hour)), "m1", "")
	b.wantNot("made before the service", credential(b.now.Add(-time.Hour-time.Second)), clientauth.Refused, "older_than_service")
	for _, ahead := range []time.Duration{time.Second, 24 * time.Hour} {
		b.wantNot("to be made in "+ahead.String(), credential(b.now.Add(ahead)), clientauth.Refused, "not_yet_valid")
	}
}
