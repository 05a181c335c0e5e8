package issuer

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// Rehearsal is a proposal without its proofs: what would come out if it were made.
type Rehearsal struct {
	// Endpoint and Grant are those of a Proposal. A token is exchanged at TokenEndpoint, by api.GrantTokenExchange.
	Endpoint Endpoint
	Grant    string
	// Caller is the service that would prove itself by Method. Empty Method: in a way that the service accepts.
	Caller, Method string
	// Credential is the id of what it would prove itself with. Empty: any.
	Credential string
	Targets    []string
	Scopes     []string // sorted
	// Key: it would bring the proof of a key. Certificate: it would present a certificate.
	Key, Certificate bool
	Address          netip.Addr
	// Exchanges is how the token came to be that Caller would exchange.
	Exchanges *Rehearsal
	// OnBehalfOf is the service whose token Caller would exchange, where Exchanges is nil: the token then came on the
	// shortest way there is.
	OnBehalfOf  string
	Impersonate bool
	// At is when. Zero: now.
	At time.Time
}

// Rehearsed is what would come out.
type Rehearsed struct {
	// Caller, Target, Grant and At of the question that decided. With Exchanges or OnBehalfOf it may be the one whether
	// there is a token to exchange.
	Caller, Target, Grant string
	Question              directory.Question
	// Verdict of the call map. Zero: it was not asked, since Reason is about the caller.
	Verdict directory.Verdict
	// Reason is as in the audit log; policy.Allowed: there would be a token.
	Reason   string
	Scopes   []string
	Snapshot *directory.Snapshot

	token []byte // its claims
	keyID string // of the key that would sign it
}

// Allowed reports whether there would be a token.
func (r *Rehearsed) Allowed() bool { return r.Reason == string(policy.Allowed) }

// AtEndpoint returns r with the endpoint and the grant that a request of this kind needs, where r names no grant: POST
// /accesstoken knows neither grants nor a default target, and one way to prove who asks.
func (r Rehearsal) AtEndpoint() Rehearsal {
	r.Endpoint = AccessTokenEndpoint
	if r.Grant != "" || len(r.Targets) == 0 || r.Method != "" && r.Method != api.Bootstrap {
		r.Endpoint, r.Grant = TokenEndpoint, cmp.Or(r.Grant, api.GrantClientCredentials)
	}
	return r
}

// Rehearser decides rehearsals on one Snapshot. It is not for concurrent use.
type Rehearser struct {
	i     *Issuer // whose directory always has the Snapshot
	s     *directory.Snapshot
	ways  map[way]*ways
	done  map[*Rehearsal]Rehearsed // the hops of ways
	tried int
	// rules by the name of their caller, and the services that only observe. Nil: not looked at yet.
	rules     map[string][]target
	observing []string
}

// On returns a Rehearser for a Snapshot, which need not be in force.
func (i *Issuer) On(s *directory.Snapshot) *Rehearser {
	return &Rehearser{i: &Issuer{directory: only{i.directory, s}, keys: anyKeys{i.keys}, o: i.o, claims: i.claims}, s: s, ways: map[way]*ways{}, done: map[*Rehearsal]Rehearsed{}}
}

// NewRehearser returns a Rehearser of an issuer that has no keys and no other neighbours.
func NewRehearser(s *directory.Snapshot, o Options) *Rehearser {
	return New(nil, nil, nil, nil, nil, o).On(s)
}

// only is a directory with one Snapshot.
type only struct {
	Directory
	s *directory.Snapshot
}

func (o only) Snapshot() *directory.Snapshot { return o.s }

// anyKeys are the keys of a rehearsal. The ring makes the first key of an algorithm when a service asks for it, which the
// Snapshot of a rehearsal may be the first to do.
type anyKeys struct{ Keys }

var anyKey = sync.OnceValues(func() (*jose.Signer, error) { return jose.GenerateSigner(jose.ES256) })

func (k anyKeys) Signer(use keys.Use, alg jose.Algorithm) (*jose.Signer, error) {
	if k.Keys != nil {
		if s, err := k.Keys.Signer(use, alg); err == nil {
			return s, nil
		}
	}
	return anyKey()
}

// Rehearse walks r as AccessToken walks a proposal, with proofs that are supposed to be good. It signs, records and
// counts nothing.
func (i *Issuer) Rehearse(r Rehearsal) Rehearsed {
	on := i.On(i.directory.Snapshot())
	on.i.keys = i.keys
	return on.Rehearse(r)
}

// Rehearse is Issuer.Rehearse on the Snapshot of h.
func (h *Rehearser) Rehearse(r Rehearsal) Rehearsed {
	if r.At.IsZero() {
		r.At = h.i.o.Now()
	}
	if r.Exchanges == nil && r.OnBehalfOf != "" {
		if r.Exchanges = h.received(&r); r.Exchanges == nil {
			r.Exchanges = h.likely(&r, hop{from: r.OnBehalfOf, to: r.Caller}, nil)
		}
	}
	return h.rehearse(&r)
}

// Admits returns why r would be refused before the call map is asked, because of its caller, method, grant or binding,
// or "".
func (h *Rehearser) Admits(r Rehearsal) (reason string) {
	p := &Proposal{Request: Request{Endpoint: r.Endpoint}, Grant: r.Grant}
	a := h.i.attempt(p, supposed{h.i, &r, nil, ""}, h.i.o.Now)
	if refusal, ok := errors.AsType[*Refusal](a.through(context.Background(), h.i.authenticate, h.i.permit, h.i.bind)); ok {
		return refusal.Reason
	}
	return ""
}

// Vouched returns the service that a token of a trust proves, with its method and its credential, for a rehearsal of what
// the service may do then. The claims are those of the token, of which all else is supposed to be good. If it proves none,
// there is a failure, as in the audit log.
func (h *Rehearser) Vouched(trustName string, c *trust.Claims, from netip.Addr, at time.Time) (clientauth.Identity, *clientauth.Failure) {
	tr, ok := h.s.TrustByName(trustName)
	if !ok {
		return clientauth.Identity{}, &clientauth.Failure{Reason: "unknown_issuer"}
	}
	return clientauth.Suppose(tr, c, from, h.s, at)
}

func (h *Rehearser) rehearse(r *Rehearsal) Rehearsed {
	supposed := supposed{h.i, r, nil, ""}
	p := &Proposal{Request: Request{Endpoint: r.Endpoint, Address: r.Address}, Grant: r.Grant, Targets: r.Targets, Scopes: r.Scopes}
	if r.Exchanges != nil {
		received, known := h.done[r.Exchanges]
		if !known || !r.Exchanges.At.Equal(r.At) {
			first := *r.Exchanges
			first.At = r.At
			received = h.rehearse(&first)
		}
		if !received.Allowed() {
			return received
		}
		supposed.subject, supposed.keyID = received.token, received.keyID
		p.Endpoint, p.Grant, p.Exchange.Impersonate = TokenEndpoint, api.GrantTokenExchange, r.Impersonate
	}
	a := h.i.attempt(p, supposed, func() time.Time { return r.At })
	g, err := h.i.walk(context.Background(), a)
	out := Rehearsed{Caller: r.Caller, Grant: p.Grant, Target: strings.Join(a.Targets, " "), Question: directory.Question{At: a.now}, Snapshot: a.snapshot}
	if svc := a.caller.Service; svc != nil {
		out.Question.Caller = svc.UID
	}
	if n := len(a.asked); n > 0 {
		out.Question, out.Verdict = a.asked[n-1].question, a.asked[n-1].verdict
		out.Target = out.Question.Target
	}
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		out.Reason = refusal.Reason
	case err != nil:
		out.Reason = "server_failed"
	default:
		out.Reason, out.Scopes, out.token, out.keyID = string(policy.Allowed), g.scopes, g.minting.payload, g.minting.signer.ID()
	}
	return out
}

// supposed are the proofs of a rehearsal: good ones, that were never made.
type supposed struct {
	i       *Issuer
	r       *Rehearsal
	subject []byte // the claims of the token that is exchanged
	keyID   string // of the key that would have signed it
}

// What is supposed is as long as what is real, so that a token is too large, or is not, in both.
var (
	supposedCredential = strings.Repeat("0", 32)
	supposedThumbprint = strings.Repeat("A", 43)
)

func (s supposed) identify(_ context.Context, a *attempt) (id clientauth.Identity, err error) {
	svc, ok := a.snapshot.Service(s.r.Caller)
	if !ok {
		return id, &Refusal{Kind: InvalidToken, Reason: "unknown_service"}
	}
	id = clientauth.Identity{Service: svc, Method: s.r.Method, CredentialID: s.r.Credential}
	if id.Method == "" && a.Grant == api.GrantJWTBearer {
		id.Method = api.PrivateKeyJWT
	}
	if id.CredentialID == "" {
		id.CredentialID = supposedCredential
	}
	if id.Method != "" && !clientauth.Accepts(svc, id.Method) {
		return id, &Refusal{Kind: InvalidToken, Reason: "method_not_accepted"}
	}
	return id, nil
}

func (s supposed) keys(a *attempt) (k shown, err error) {
	if s.r.Key {
		k.key = supposedThumbprint
	}
	if s.r.Certificate || a.byCertificate() {
		k.certificate = supposedThumbprint
	}
	return k, nil
}

func (s supposed) spend(context.Context, *attempt) error { return nil }

func (s supposed) read(_ string, now time.Time) (t *Inspected, why string) {
	if t, why = s.i.parse(s.subject, now); why == "" {
		t.keyID = s.keyID
	}
	return t, why
}

// maxTried bounds how many hops one Rehearser tries to find ways: it takes a second or so. Beyond it, a token is supposed
// to have come directly.
const maxTried = 200_000

// hop is that a service gets a token for another.
type hop struct{ from, to string }

// way is what ways are looked for, by whose token and which.
type way struct {
	subject, scopes string
	address         netip.Addr
	at              time.Time
}

// ways are the shortest ways of a token, as far as they were looked for.
type ways struct {
	found map[string]*Rehearsal // by the service that may exchange the token
	queue []holder
}

// holder is a service that has the token by a way; nil: it is the subject itself.
type holder struct {
	name string
	got  *Rehearsal
}

// received is the shortest way on which r.Caller may have received a token of r.OnBehalfOf with the scopes of r, or nil.
// Tokens travel by exchange, or are exchanged by whom their may_act names.
func (h *Rehearser) received(r *Rehearsal) *Rehearsal {
	key := way{r.OnBehalfOf, strings.Join(r.Scopes, " "), r.Address, r.At}
	w := h.ways[key]
	if w == nil {
		w = &ways{map[string]*Rehearsal{}, []holder{{r.OnBehalfOf, nil}}}
		h.ways[key] = w
	}
	for ; w.found[r.Caller] == nil && len(w.queue) > 0; w.queue = w.queue[1:] {
		from := w.queue[0]
		for _, to := range h.hops(r.OnBehalfOf, from.name) {
			if h.tried++; h.tried > maxTried {
				return nil
			}
			next := h.likely(r, hop{from.name, to}, from.got)
			out := h.rehearse(next)
			if !out.Allowed() {
				continue
			}
			by := to
			if svc, ok := h.s.ServiceByUID(out.Verdict.Rule.MayAct()); ok {
				by = svc.Name
			}
			if w.found[by] == nil {
				w.found[by], h.done[next] = next, out
				w.queue = append(w.queue, holder{by, next})
			}
		}
	}
	return w.found[r.Caller]
}

// hops are the targets for which the service from may get a token of subject, by a rule or because they only observe.
func (h *Rehearser) hops(subject, from string) (targets []string) {
	if h.rules == nil {
		h.rules = map[string][]target{}
		for rule := range h.s.Rules() {
			caller, ok1 := h.s.ServiceByUID(rule.Caller)
			to, ok2 := h.s.ServiceByUID(rule.Target)
			if ok1 && ok2 {
				h.rules[caller.Name] = append(h.rules[caller.Name], target{to.Name, rule.Exchange() != policy.NoExchange})
			}
		}
		for svc := range h.s.All() {
			if svc.Observe {
				h.observing = append(h.observing, svc.Name)
			}
		}
	}
	for _, t := range h.rules[from] {
		if t.exchange || from == subject {
			targets = append(targets, t.name)
		}
	}
	if from == subject {
		targets = append(targets, h.observing...)
	}
	return targets
}

// target is a service that a rule allows to call; exchange: for others too.
type target struct {
	name     string
	exchange bool
}

// likely is a hop made in whatever way its rule wants: of how a token came to be, nothing is known.
func (h *Rehearser) likely(r *Rehearsal, by hop, got *Rehearsal) *Rehearsal {
	next := Rehearsal{Caller: by.from, Targets: []string{by.to}, Scopes: r.Scopes, Address: r.Address, Exchanges: got, At: r.At}
	from, ok1 := h.s.Service(by.from)
	to, ok2 := h.s.Service(by.to)
	if !ok1 || !ok2 {
		next = next.AtEndpoint()
		return &next
	}
	next.Key = got != nil && got.Key || from.Binding != ""
	rule := h.s.Rule(policy.Edge{Caller: from.UID, Target: to.UID})
	when := &policy.When{}
	if rule != nil && rule.Terms != nil && rule.Terms.When != nil {
		when = rule.Terms.When
	}
	next.Key = next.Key || when.Bound
	next.Certificate = next.Key
	if len(when.Networks) > 0 {
		next.Address = when.Networks[0].Addr()
	}
	for _, m := range when.Methods {
		if clientauth.Accepts(from, m) {
			next.Method = m
		}
	}
	next = next.AtEndpoint()
	return &next
}
