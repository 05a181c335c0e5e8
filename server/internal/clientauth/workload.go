package clientauth

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keysets"
	"github.com/watchword-dev/watchword/server/internal/once"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// MaxPlatformToken is the longest token of a platform that is read, in bytes.
const MaxPlatformToken = 16 << 10

// MaxEnded is how many credentials that may not be used are compared with one token, to explain a refusal.
const MaxEnded = 50

// spiffeScheme begins every SPIFFE ID (SPIFFE ID, section 2).
const spiffeScheme = "spiffe://"

// workloadJWT is workload_jwt and spiffe_jwt: a token that a platform signed for its workload, such as the projected
// token of a Kubernetes pod, in place of an assertion that the service signs itself (RFC 7523, section 3). Its issuer
// is a trust, which for a JWT-SVID is found by the trust domain of its subject, and its claims are those that
// a credential of the service wants.
type workloadJWT struct {
	name   string
	spiffe bool
	w      *workloads
}

// workloads are what both methods, and spiffe_x509, share.
type workloads struct {
	o      Options
	keys   *keysets.Sets
	claims recent[string, map[string]string] // of credentials, by their material
	states trustStates
}

func newWorkloads(o Options) *workloads {
	return &workloads{o: o, keys: keysets.New(keysets.ForPlatforms(o.JWKSNetworks))}
}

// unavailable tells the operator's log, once a minute for each trust, that the keys of tr cannot be had. The caller is
// told no more than of any other refusal, and can have as many tokens refused as it likes.
func (w *workloads) unavailable(tr *directory.Trust, err error, now time.Time) {
	if w.o.Logger != nil && w.states.mayLog(tr.ID, now) {
		w.o.Logger.Warn("the keys of a trust are not available, so its tokens are refused", "trust", tr.Name, "error", err)
	}
}

func (m *workloadJWT) Name() string { return m.name }

func (m *workloadJWT) Presents(p *Presented) bool {
	t := p.platformToken()
	return t != nil && t.spiffe == m.spiffe
}

// platformToken is a token of a platform, read but not verified.
type platformToken struct {
	*jose.Token
	claims *trust.Claims
	iss    string
	sub    string
	spiffe bool // it is taken for a JWT-SVID
}

// platformToken is the token of a platform that p carries, as an assertion or as the bearer token of /accesstoken, or nil.
func (p *Presented) platformToken() *platformToken {
	compact := p.Assertion
	if compact == "" {
		compact = p.Bearer
	}
	if p.platform == nil || p.platform.from != compact {
		p.platform = &parsedPlatform{compact, readPlatformToken(compact, p.AssertsSVID, p.own)}
	}
	return p.platform.token
}

type parsedPlatform struct {
	from  string
	token *platformToken
}

// readPlatformToken returns nil for what a service or this server signed. Those name a service or this server as their
// issuer: that of a platform is a URL, which no service can have as its name. A JWT-SVID may have no issuer (JWT-SVID,
// section 3).
func readPlatformToken(compact string, svid bool, own []string) *platformToken {
	if compact == "" || isBootstrapToken(compact) {
		return nil
	}
	t, err := jose.ParseLong(compact, MaxPlatformToken)
	if err != nil || strings.EqualFold(t.Type, BootstrapType) {
		return nil
	}
	c, err := trust.Parse(t.Payload)
	if err != nil {
		return nil
	}
	p := &platformToken{Token: t, claims: c}
	p.iss, _ = c.Text("iss")
	p.sub, _ = c.Text("sub")
	p.spiffe = svid || strings.HasPrefix(p.sub, spiffeScheme)
	if !p.spiffe && (slices.Contains(own, p.iss) || !strings.ContainsAny(p.iss, ":/")) {
		return nil
	}
	return p
}

// isBootstrapToken looks at the header alone, which is short: bootstrap credentials come with every request to
// /accesstoken, and reading one whole would cost more than all else that is done with it.
func isBootstrapToken(compact string) bool {
	var room [384]byte
	head, _, _ := strings.Cut(compact, ".")
	if base64.RawURLEncoding.DecodedLen(len(head)) > len(room) {
		return false
	}
	n, err := base64.RawURLEncoding.Decode(room[:], []byte(head))
	return err == nil && bytes.Contains(room[:n], []byte(`"`+BootstrapType+`"`))
}

// Authenticate checks the signature with the keys of the one trust that the token belongs to, then what the token says
// of itself, and then looks for a credential whose claims it has.
func (m *workloadJWT) Authenticate(ctx context.Context, p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	t := p.platformToken()
	tr, failure := m.w.trustOf(t, s)
	if failure != nil {
		return Identity{}, failure
	}
	id, failure := m.w.vouched(ctx, tr, t, p, s, now)
	m.w.states.note(tr.ID, failure, now)
	return id, failure
}

// Explanation is what would come of a platform's token.
type Explanation struct {
	// Trust and Service are nil as far as none was found.
	Trust   *directory.Trust
	Service *directory.Service
	// CredentialID is of the credential that the token matches, or that it is nearest to.
	CredentialID string
	// Reason is empty if the token proves Service, else as in the audit log.
	Reason string
	// Findings are all claims that were looked at.
	Findings []api.ClaimFinding
}

// Explain checks a platform's token as Authenticate would. It uses up and counts nothing.
// clientID is as in a request.
func (a *Authenticator) Explain(ctx context.Context, token, clientID string, s *directory.Snapshot, now time.Time) (e Explanation) {
	p := &Presented{Assertion: token, ClientID: clientID, own: a.own}
	t := p.platformToken()
	if t == nil {
		e.Reason = "malformed"
		return e
	}
	tr, failure := a.workloads.trustOf(t, s)
	if failure != nil {
		e.Reason, e.Findings = failure.Reason, failure.Findings
		return e
	}
	e.Trust = tr
	judged := a.workloads.judge(tr, t, now)
	// What a login finds out one after the other is found out here at once, so that a person sees all that is wrong.
	if _, failure = a.workloads.vouched(ctx, tr, t, p, s, now); failure != nil {
		e.Reason = failure.Reason
		if failure = a.workloads.verify(ctx, tr, t, now); failure != nil {
			e.Findings = failure.Findings
		}
	}
	e.Findings = append(e.Findings, judged...)
	c, svc, failure := a.workloads.match(tr, t, p, s, now)
	if failure != nil {
		e.Service, _ = s.Service(failure.Claimed)
		e.CredentialID, e.Findings = failure.CredentialID, append(e.Findings, failure.Findings...)
		return e
	}
	e.Service, e.CredentialID = svc, c.ID
	method := api.WorkloadJWT
	if t.spiffe {
		method = api.SPIFFEJWT
	}
	switch {
	case e.Reason != "":
	case svc.Disabled:
		e.Reason = string(policy.CallerDisabled)
	case !Accepts(svc, method):
		e.Reason = "method_not_accepted"
	}
	e.Findings = append(e.Findings, trust.Match(&tr.TrustSettings, a.workloads.wanted(c), t.claims)...)
	return e
}

// trustOf is the trust to which a token belongs. Nothing is fetched for one that belongs to none.
func (w *workloads) trustOf(t *platformToken, s *directory.Snapshot) (*directory.Trust, *Failure) {
	issuer, claim := t.iss, "iss"
	if t.spiffe {
		domain, ok := trustDomain(t.sub)
		if !ok {
			return nil, &Failure{Reason: "malformed", Findings: []api.ClaimFinding{{
				Claim: "sub", Seen: trust.Show(t.sub), Wanted: "a SPIFFE ID", Hint: "The token was sent as a JWT-SVID. Send tokens of other platforms with the client_assertion_type jwt-bearer.",
			}}}
		}
		issuer, claim = domain, "sub"
	}
	tr, ok := s.TrustByIssuer(issuer)
	if !ok || t.spiffe != (tr.Preset == "spiffe") {
		return nil, &Failure{Reason: "unknown_issuer", Findings: []api.ClaimFinding{{
			Claim: claim, Seen: trust.Show(issuer), Wanted: "the issuer of a trust, compared as a string",
			Hint: similar(issuer, s) + `Run "watchword trust list" to see the trusts, and "watchword trust add" to add one.`,
		}}}
	}
	return tr, nil
}

// similar is a sentence about the trust whose issuer is spelled like issuer, or empty.
func similar(issuer string, s *directory.Snapshot) string {
	bare := strings.TrimSuffix(issuer, "/")
	for tr := range s.Trusts() {
		theirs := strings.TrimSuffix(tr.Issuer, "/")
		if tr.Issuer == issuer || !strings.EqualFold(theirs, bare) {
			continue
		}
		var differ []string
		if (theirs == tr.Issuer) != (bare == issuer) {
			differ = append(differ, "a slash at the end")
		}
		if theirs != bare {
			differ = append(differ, "upper and lower case")
		}
		return "The trust " + tr.Name + " has " + tr.Issuer + ": they differ in " + strings.Join(differ, " and in ") + ". "
	}
	return ""
}

// trustDomain is the trust domain of a SPIFFE ID, as a URL without a path (SPIFFE ID, section 2).
func trustDomain(id string) (string, bool) {
	rest, ok := strings.CutPrefix(id, spiffeScheme)
	domain, _, _ := strings.Cut(rest, "/")
	domain = spiffeScheme + domain
	return domain, ok && trust.CheckID(domain, id) == nil
}

// vouched finds out for which service tr vouches by t.
func (w *workloads) vouched(ctx context.Context, tr *directory.Trust, t *platformToken, p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	if tr.Disabled {
		return Identity{}, &Failure{Reason: "trust_disabled"}
	}
	if failure := w.verify(ctx, tr, t, now); failure != nil {
		return Identity{}, failure
	}
	id, failure := w.proved(tr, t, p, s, now)
	if failure != nil {
		failure.attention = failure.CredentialID != "" || !trust.Shared(&tr.TrustSettings)
	}
	return id, failure
}

// proved finds out what a token proves whose signature is good.
func (w *workloads) proved(tr *directory.Trust, t *platformToken, p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	found := w.judge(tr, t, now)
	credential, svc, failure := w.match(tr, t, p, s, now)
	switch {
	case !trust.IsMet(found) && failure != nil: // both, for who has to find out why
		return Identity{}, &Failure{Reason: judged(found), Claimed: failure.Claimed, CredentialID: failure.CredentialID, Findings: append(found, failure.Findings...)}
	case !trust.IsMet(found):
		return Identity{}, &Failure{Reason: judged(found), Claimed: svc.Name, CredentialID: credential.ID, Findings: found}
	case failure != nil:
		return Identity{}, failure
	}
	id := Identity{Service: svc, CredentialID: credential.ID, Depends: tr.Generation, Until: t.claims.Expiry()}
	if trust.OnceOnly(&tr.TrustSettings) {
		// A jti is unique to its issuer (RFC 7519, section 4.1.7), whichever trust it is of by then. That there is one was judged.
		id.Once = []once.Entry{{Key: once.Key("platform", tr.Issuer, t.claims.ID()), Until: id.Until.Add(clockSkew)}}
	}
	return id, nil
}

// judge looks at what t says of itself.
func (w *workloads) judge(tr *directory.Trust, t *platformToken, now time.Time) []api.ClaimFinding {
	return trust.Judge(&tr.TrustSettings, t.claims, trust.Audience(&tr.TrustSettings, w.o.Issuer), t.Type, t.Algorithm, now)
}

// verify checks the signature of t with the keys of tr, and no others.
func (w *workloads) verify(ctx context.Context, tr *directory.Trust, t *platformToken, now time.Time) *Failure {
	if !slices.Contains(trust.Algorithms(&tr.TrustSettings), t.Algorithm) {
		return &Failure{Reason: "algorithm_not_accepted", Findings: []api.ClaimFinding{{
			Claim: "alg", Seen: trust.Show(t.Algorithm), Wanted: strings.Join(trust.Algorithms(&tr.TrustSettings), " or "),
		}}}
	}
	kid := api.ClaimFinding{Claim: "kid", Seen: trust.Show(t.KeyID), Wanted: "a key of the trust that signed the token"}
	switch err := w.keys.Verify(ctx, source(tr), t.Token, now); {
	case err == nil:
		return nil
	case errors.Is(err, jose.ErrSignature):
		return &Failure{Reason: "bad_signature", Findings: []api.ClaimFinding{kid}}
	case errors.Is(err, jose.ErrUnknownKey), errors.Is(err, jose.ErrNoKey):
		kid.Hint = "If the issuer has new keys and they were uploaded, upload them again: watchword trust keys " + tr.Name + " --help"
		return &Failure{Reason: "unknown_key", Findings: []api.ClaimFinding{kid}}
	case errors.Is(err, jose.ErrAlgorithm):
		return &Failure{Reason: "algorithm_not_accepted"}
	default:
		w.unavailable(tr, err, now)
		return &Failure{Reason: "keys_unavailable", Cause: err}
	}
}

// source is where the keys of tr are.
func source(tr *directory.Trust) *keysets.Source {
	s := &keysets.Source{
		ID: tr.ID, Kind: keysets.Platform, Issuer: tr.Issuer, URL: tr.JWKSURI, JWKS: tr.JWKS,
		Authorities: tr.Authorities, EndpointID: tr.EndpointID,
	}
	if tr.Preset == "spiffe" {
		s.Kind = keysets.SPIFFE
	}
	for _, a := range trust.Algorithms(&tr.TrustSettings) {
		s.Algorithms = append(s.Algorithms, jose.Algorithm(a))
	}
	return s
}

// candidate is a credential that may be the one.
type candidate struct {
	credential *directory.Credential
	service    *directory.Service
	wanted     map[string]string
}

// match finds the credential that wants what t says. A token may lead to several services, of which the request then
// names one by its client_id.
func (w *workloads) match(tr *directory.Trust, t *platformToken, p *Presented, s *directory.Snapshot, now time.Time) (*directory.Credential, *directory.Service, *Failure) {
	var found, nearest *candidate
	var fewest int
	live, ended := w.candidates(tr, t, p, s, now)
	for _, c := range live {
		n := trust.Unmet(&tr.TrustSettings, c.wanted, t.claims)
		switch {
		case n > 0 && (nearest == nil || n < fewest):
			nearest, fewest = c, n
		case n > 0:
		case found != nil && found.service.UID != c.service.UID:
			return nil, nil, &Failure{Reason: "ambiguous_workload", Findings: []api.ClaimFinding{{
				Claim: "client_id", Wanted: "one of the services " + found.service.Name + ", " + c.service.Name,
				Hint: "The token matches credentials of several services: name the service as client_id, or pin more claims.",
			}}}
		case found == nil:
			found = c
		}
	}
	if found != nil {
		return found.credential, found.service, nil
	}
	// For the audit log: one that was good once, or is good elsewhere.
	for _, c := range ended {
		if trust.Unmet(&tr.TrustSettings, c.wanted, t.claims) == 0 {
			return nil, nil, &Failure{Reason: usable(c.credential, p, now), Claimed: c.service.Name, CredentialID: c.credential.ID}
		}
	}
	if nearest != nil {
		return nil, nil, &Failure{
			Reason: "claims_differ", Claimed: nearest.service.Name, CredentialID: nearest.credential.ID,
			Findings: trust.Match(&tr.TrustSettings, nearest.wanted, t.claims),
		}
	}
	return nil, nil, &Failure{Reason: "no_matching_credential", Findings: seenAnchors(tr, t)}
}

// wanted are the claims that a credential wants.
func (w *workloads) wanted(c *directory.Credential) map[string]string {
	claims, ok := w.claims.find(c.Material)
	if !ok {
		claims, _ = directory.ParseClaims(c.Material) // which was checked when it was made, and by which c was found
		w.claims.add(c.Material, claims)
	}
	return claims
}

// candidates are credentials that have a claim in common with t, by which the directory finds them: those that may be
// used, of which there are few for any claim (directory.MaxAnchored), and MaxEnded at most of the others.
func (w *workloads) candidates(tr *directory.Trust, t *platformToken, p *Presented, s *directory.Snapshot, now time.Time) (live, ended []*candidate) {
	known := map[string]bool{}
	add := func(name, value string) {
		for _, c := range s.Workloads(tr.ID, name, value) {
			svc, ok := s.ServiceByUID(c.Service)
			if !ok || known[c.ID] || p.ClientID != "" && p.ClientID != svc.Name && !(t.spiffe && p.ClientID == t.sub) {
				continue
			}
			known[c.ID] = true
			to := &live
			if usable(c, p, now) != "" {
				to = &ended
			}
			if len(ended) >= MaxEnded && to == &ended {
				continue
			}
			// Without claims it is one of a newer version's: any token has all of none.
			if wanted := w.wanted(c); len(wanted) > 0 {
				*to = append(*to, &candidate{c, svc, wanted})
			}
		}
	}
	for _, name := range trust.AnchorNames(tr.Preset) {
		if value, ok := trust.Text(&tr.TrustSettings, t.claims, name); ok && value != "" {
			add(name, value)
		}
	}
	if t.spiffe {
		add("sub", "") // path prefixes
	}
	return live, ended
}

// seenAnchors are the claims by which no credential was found.
func seenAnchors(tr *directory.Trust, t *platformToken) (all []api.ClaimFinding) {
	for _, name := range trust.AnchorNames(tr.Preset) {
		if value, ok := trust.Text(&tr.TrustSettings, t.claims, name); ok {
			all = append(all, api.ClaimFinding{Claim: name, Seen: trust.Show(value), Wanted: "a value that a credential names"})
		}
	}
	if len(all) > 0 {
		all[0].Hint = "No credential names this workload. Create one from the token: watchword service create NAME --from-token"
	}
	return all
}

// Unmet are the findings of claims that are not as they are wanted.
func Unmet(all []api.ClaimFinding) []api.ClaimFinding {
	return slices.DeleteFunc(slices.Clone(all), func(f api.ClaimFinding) bool { return f.Met })
}

// judged is the reason for which a token of a platform is refused before credentials are compared with it.
func judged(all []api.ClaimFinding) string {
	reasons := map[string]string{
		"iss": "issuer_mismatch", "aud": "audience_mismatch", "exp": "expired", "iat": "not_yet_valid", "nbf": "not_yet_valid",
		"lifetime": "lives_too_long", "jti": "no_jti", "typ": "wrong_type", "alg": "algorithm_not_accepted",
	}
	for _, f := range all {
		switch {
		case f.Met:
		case f.Claim == "exp" && f.Seen == "":
			return "no_expiry"
		case reasons[f.Claim] != "":
			return reasons[f.Claim]
		}
	}
	return "claims_differ"
}
