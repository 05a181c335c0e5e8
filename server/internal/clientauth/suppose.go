package clientauth

import (
	"net/netip"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// Suppose finds the service that a token of tr with these claims proves, presented from an address, as Authenticate does.
// All else about the token, such as its signature and its audience, is supposed to be good.
func Suppose(tr *directory.Trust, claims *trust.Claims, from netip.Addr, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	if tr.Disabled {
		return Identity{}, &Failure{Reason: "trust_disabled"}
	}
	t, method := &platformToken{claims: claims}, api.WorkloadJWT
	if tr.Preset == trust.SPIFFE {
		t.spiffe, method = true, api.SPIFFEJWT
		t.sub, _ = claims.Text("sub")
	}
	credential, svc, failure := (&workloads{}).match(tr, t, &Presented{Address: from}, s, now)
	if failure != nil {
		return Identity{}, failure
	}
	return Identity{Service: svc, Method: method, CredentialID: credential.ID, Depends: tr.Generation}, nil
}
