package clientauth

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keysets"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// spiffeX509 is spiffe_x509: an X.509-SVID as the certificate of the connection, and its SPIFFE ID as the client_id
// (draft-ietf-oauth-spiffe-client-auth-02). It is judged by the authorities of its own trust domain alone.
type spiffeX509 struct {
	w      *workloads
	chains *chains

	mu    sync.Mutex
	pools map[string]pool // by the id of the trust
}

// pool is the authorities of a trust, as they are in one of its states: chains knows them by the pointer.
type pool struct {
	of    []*x509.Certificate
	roots *x509.CertPool
}

func newSPIFFEX509(w *workloads) *spiffeX509 {
	return &spiffeX509{w: w, chains: newChains(), pools: map[string]pool{}}
}

func (m *spiffeX509) Name() string { return api.SPIFFEX509 }

func (m *spiffeX509) Presents(p *Presented) bool {
	return strings.HasPrefix(p.ClientID, spiffeScheme) && p.onlyCertificate()
}

func (m *spiffeX509) Authenticate(ctx context.Context, p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	// A workload is its SPIFFE ID: the one URI that the certificate names (X.509-SVID, section 2).
	if id, err := keysets.SPIFFEID(p.Certificates[0]); err != nil || id != p.ClientID {
		return Identity{}, &Failure{Reason: "wrong_certificate", Findings: []api.ClaimFinding{{
			Claim: "sub", Wanted: trust.Show(p.ClientID), Hint: "The certificate must name exactly one URI, which is the SPIFFE ID that the client_id says.",
		}}}
	}
	t := &platformToken{claims: trust.OfID(p.ClientID), sub: p.ClientID, spiffe: true}
	tr, failure := m.w.trustOf(t, s)
	if failure != nil {
		return Identity{}, failure
	}
	id, failure := m.vouched(ctx, tr, t, p, s, now)
	m.w.states.note(tr.ID, failure, now)
	return id, failure
}

func (m *spiffeX509) vouched(ctx context.Context, tr *directory.Trust, t *platformToken, p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	if tr.Disabled {
		return Identity{}, &Failure{Reason: "trust_disabled"}
	}
	roots, err := m.authorities(ctx, tr, now)
	if err != nil {
		m.w.unavailable(tr, err, now)
		return Identity{}, &Failure{Reason: "keys_unavailable", Cause: err}
	}
	if why := m.chains.fault(p.Certificates, roots, p.Address, now); why != "" {
		return Identity{}, &Failure{Reason: why}
	}
	c, svc, failure := m.w.match(tr, t, p, s, now)
	if failure != nil {
		failure.attention = true
		return Identity{}, failure
	}
	svid := p.Certificates[0]
	if found := trust.JudgeSVID(&tr.TrustSettings, svid.NotBefore, svid.NotAfter); !trust.IsMet(found) {
		return Identity{}, &Failure{Reason: judged(found), Claimed: svc.Name, CredentialID: c.ID, Findings: found, attention: true}
	}
	return Identity{Service: svc, CredentialID: c.ID, Depends: tr.Generation, Until: svid.NotAfter}, nil
}

// authorities are the certificates that an operator gave for tr, and those of its bundle. It is the same pool as long as
// they are the same.
func (m *spiffeX509) authorities(ctx context.Context, tr *directory.Trust, now time.Time) (*x509.CertPool, error) {
	published, err := m.w.keys.Authorities(ctx, source(tr), now)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.pools[tr.ID]; ok && slices.EqualFunc(known.of, published, (*x509.Certificate).Equal) {
		return known.roots, nil
	}
	roots := x509.NewCertPool()
	for _, c := range published {
		roots.AddCert(c)
	}
	if len(m.pools) >= directory.MaxTrusts { // of trusts that are gone
		clear(m.pools)
	}
	m.pools[tr.ID] = pool{published, roots}
	return roots, nil
}
