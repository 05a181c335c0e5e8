package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/reason"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keysets"
)

// Trusts is what is known of the tokens and the keys of trusts.
type Trusts interface {
	// TrustState returns what this replica has seen of the tokens of the trust with that id.
	TrustState(id string) clientauth.TrustState
	// TrustKeys returns the keys of t. It fetches nothing.
	TrustKeys(t *directory.Trust) keysets.State
	// RefreshTrustKeys fetches the keys of t, unless they are uploaded, or were asked for a moment ago.
	RefreshTrustKeys(ctx context.Context, t *directory.Trust, now time.Time) error
	// Explain returns what would come of a platform's token. It uses up and counts nothing.
	Explain(ctx context.Context, token, clientID string, s *directory.Snapshot, now time.Time) clientauth.Explanation
}

// ByTrust is the path of one trust.
type ByTrust struct {
	Trust string `path:"trust" example:"prod" doc:"The name of the trust."`
}

var (
	exampleTrust = api.Trust{
		ID: "trust_00112233445566778899aabbccddeeff", Name: "prod",
		TrustSettings: api.TrustSettings{Preset: "kubernetes", Issuer: "https://kubernetes.default.svc.cluster.local", Algorithms: []string{}, JWKS: `{"keys":[]}`},
		Credentials:   12, Services: 10, Problems: []string{}, Version: 1, CreatedAt: exampleTime, UpdatedAt: exampleTime, KeysAt: &exampleTime,
	}
	exampleTrustKeys = api.TrustKeys{
		Uploaded: true, Keys: []api.TrustKey{{ID: "k1", Algorithms: []string{"RS256"}, Thumbprint: "tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk"}},
		Authorities: []api.TrustAuthority{}, FetchedAt: &exampleTime,
	}
	errNoTrust     = problem("trust_not_found")
	errTrustExists = problem("trust_exists")
)

func (a *handlers) trusts() {
	register(a, operation{
		method: http.MethodGet, path: "/trusts", id: "listTrusts", action: action{name: "trust.list"}, tag: "trusts",
		summary: "List trusts", description: "Lists all trusts in pages, ordered by name. Those with problems come first. The members jwks and authorities are empty; read a trust to see them.",
		answer: api.TrustList{Trusts: []api.Trust{exampleTrust}},
	}, a.listTrusts)
	register(a, operation{
		method: http.MethodPost, path: "/trusts", id: "createTrust", action: action{name: "trust.create", creates: true, changes: changesTrusts, long: true}, tag: "trusts",
		summary: "Add a trust", description: "Adds a trust: an outside issuer whose tokens prove services in place of a secret. It proves nothing until a credential of the kind workload names it.",
		status: http.StatusCreated, errors: []int{http.StatusConflict},
		request: map[string]any{"name": "prod", "preset": "kubernetes", "issuer": exampleTrust.Issuer, "jwks": exampleTrust.JWKS}, answer: exampleTrust,
	}, a.createTrust)
	register(a, operation{
		method: http.MethodGet, path: "/trusts/{trust}", id: "readTrust", action: action{name: "trust.read"}, tag: "trusts",
		summary: "Read a trust", description: "Returns the trust, with its version as ETag.",
		missing: errNoTrust, answer: exampleTrust,
	}, a.readTrust)
	register(a, operation{
		method: http.MethodPatch, path: "/trusts/{trust}", id: "updateTrust", action: action{name: "trust.update", changes: changesTrusts, long: true}, tag: "trusts",
		summary: "Change a trust", description: "Changes the settings that the request contains, and no others. If the trust accepts less than before, the tokens that were issued for its tokens are revoked.",
		missing: errNoTrust, errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
		request: map[string]any{"disabled": true}, answer: exampleTrust,
	}, a.updateTrust)
	register(a, operation{
		method: http.MethodDelete, path: "/trusts/{trust}", id: "deleteTrust", action: action{name: "trust.delete", changes: changesTrusts}, tag: "trusts",
		summary: "Remove a trust", description: "Removes the trust, and revokes the credentials that name it and the tokens that were issued for them.",
		status: http.StatusNoContent, missing: errNoTrust, errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
	}, a.deleteTrust)
	register(a, operation{
		method: http.MethodGet, path: "/trusts/{trust}/keys", id: "readTrustKeys", action: action{name: "trust.keys"}, tag: "trusts",
		summary: "List the keys of a trust", description: "Lists the public keys of the trust that this server has. It fetches none.",
		missing: errNoTrust, answer: exampleTrustKeys,
	}, a.readTrustKeys)
	register(a, operation{
		method: http.MethodPost, path: "/trusts/{trust}/keys/refresh", id: "refreshTrustKeys", action: action{name: "trust.keys.refresh", reads: true}, tag: "trusts",
		summary: "Fetch the keys of a trust", description: "Fetches the keys of the trust, unless an operator uploaded them, or this server asked for them less than 30 seconds ago, and lists them. The answer says why they could not be fetched. The request is recorded in the audit log.",
		missing: errNoTrust, answer: exampleTrustKeys,
	}, a.refreshTrustKeys)
	register(a, operation{
		method: http.MethodPost, path: "/platform-tokens/test", id: "testPlatformToken", action: action{name: "trust.test", reads: true}, tag: "trusts",
		summary: "Test a platform's token", description: "Returns which service a platform's token would prove or, if it would be refused, why, claim by claim. The token is not used up, and not recorded. The request is recorded in the audit log.",
		request: api.PlatformTokenTest{Token: "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2V4YW1wbGUub3JnIn0.c2ln"},
		answer: api.PlatformTokenVerdict{
			Reason: "claims_differ", Text: "the claims of the token are not those that the credential names", Trust: "prod", Service: "m1", Credential: exampleCredential.ID,
			Findings: []api.ClaimFinding{{Claim: "repository_id", Seen: "456", Wanted: "123", Hint: "The name of the repository is the same: was it deleted and created again?"}},
		},
	}, a.testPlatformToken)
}

// trust finds a trust by name, also one that another replica has just made.
func (a *handlers) trust(ctx context.Context, name string) (*directory.Trust, error) {
	if t, ok := a.Directory.Snapshot().TrustByName(name); ok {
		return t, nil
	}
	if err := a.Directory.CatchUp(ctx); err != nil {
		return nil, err
	}
	if t, ok := a.Directory.Snapshot().TrustByName(name); ok {
		return t, nil
	}
	return nil, errNoTrust
}

// viewTrust is a trust with what needs attention about it.
func (a *handlers) viewTrust(t *directory.Trust, uses directory.TrustUses) api.Trust {
	v := api.Trust{
		ID: t.ID, Name: t.Name, TrustSettings: t.TrustSettings, Credentials: uses.Credentials, Services: uses.Services,
		Problems: a.trustProblems(t, uses), ManagedBy: t.ManagedBy, Version: t.Version,
		CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC(), KeysAt: optional(t.KeysAt),
	}
	if v.Algorithms == nil {
		v.Algorithms = []string{} // not null
	}
	return v
}

// versionedTrust is viewTrust of a trust alone.
func (a *handlers) versionedTrust(ctx context.Context, t *directory.Trust) (*versioned[api.Trust], error) {
	uses, err := a.trustUses(ctx)
	if err != nil {
		return nil, err
	}
	v := a.viewTrust(t, uses[t.ID])
	v.Notes = a.trustNotes(t)
	return &versioned[api.Trust]{etag(t.Version), v}, nil
}

func (a *handlers) trustUses(ctx context.Context) (map[string]directory.TrustUses, error) {
	now := a.Now()
	return a.Lists.TrustUses(ctx, now, now.Add(-directory.UnmatchedAfter))
}

func (a *handlers) listTrusts(ctx context.Context, in *struct{ Page }) (*answered[api.TrustList], error) {
	if err := a.Directory.CatchUp(ctx); err != nil {
		return nil, err
	}
	uses, err := a.trustUses(ctx)
	if err != nil {
		return nil, err
	}
	// The position of a trust is its name, behind the word for whether it has problems.
	position := func(v api.Trust) string {
		if len(v.Problems) > 0 {
			return "attention " + v.Name
		}
		return "well " + v.Name
	}
	var all []api.Trust
	for t := range a.Directory.Snapshot().Trusts() {
		v := a.viewTrust(t, uses[t.ID])
		v.JWKS, v.Authorities = "", "" // a thousand of them would be too long
		all = append(all, v)
	}
	slices.SortFunc(all, func(v, w api.Trust) int { return strings.Compare(position(v), position(w)) })
	views, next, err := listing[api.Trust, api.Trust]{
		name: "trusts",
		read: func(after []byte, limit int) ([]api.Trust, error) {
			from, _ := slices.BinarySearchFunc(all, string(after)+"\x00", func(v api.Trust, after string) int { return strings.Compare(position(v), after) })
			return all[from:min(from+limit, len(all))], nil
		},
		position: func(v api.Trust) []byte { return []byte(position(v)) },
		view:     func(_ *directory.Snapshot, v api.Trust) (api.Trust, bool) { return v, true },
	}.page(ctx, a, in.Page)
	return &answered[api.TrustList]{api.TrustList{Trusts: views, NextPageToken: next}}, err
}

func (a *handlers) createTrust(ctx context.Context, in *struct{ Body api.NewTrust }) (*created[api.Trust], error) {
	n := in.Body
	s := api.TrustSettings{Preset: n.Preset}
	n.Apply(&s)
	note(ctx, "trust", n.Name, "preset", s.Preset)
	noteTrust(ctx, n.TrustPatch)
	t, err := a.Directory.AddTrust(ctx, author(ctx), n.Name, s)
	if err != nil {
		return nil, taken(err)
	}
	note(ctx, "id", t.ID)
	v, err := a.versionedTrust(ctx, &t)
	if err != nil {
		return nil, err
	}
	return &created[api.Trust]{v.ETag, prefix + "/trusts/" + t.Name, v.Body}, nil
}

// taken says that a trust has the name or the issuer.
func taken(err error) error {
	if errors.Is(err, directory.ErrExists) {
		return errTrustExists.Because(err)
	}
	return err
}

func (a *handlers) readTrust(ctx context.Context, in *ByTrust) (*versioned[api.Trust], error) {
	t, err := a.trust(ctx, in.Trust)
	if err != nil {
		return nil, err
	}
	return a.versionedTrust(ctx, t)
}

func (a *handlers) updateTrust(ctx context.Context, in *struct {
	ByTrust
	Conditions
	Body api.TrustPatch
},
) (*versioned[api.Trust], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	noteTrust(ctx, in.Body)
	t, err := a.Directory.UpdateTrust(ctx, author(ctx), in.Trust, existing(version), in.Body.Apply)
	if err != nil {
		return nil, stale(version, taken(err))
	}
	return a.versionedTrust(ctx, &t)
}

func (a *handlers) deleteTrust(ctx context.Context, in *struct {
	ByTrust
	Conditions
},
) (*nothing, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	return nil, stale(version, a.Directory.RemoveTrust(ctx, author(ctx), in.Trust, existing(version)))
}

// noteTrust records what was asked for, except for the text of keys and certificates.
func noteTrust(ctx context.Context, p api.TrustPatch) {
	text, err := json.Marshal(p)
	given := map[string]any{}
	if err == nil {
		err = json.Unmarshal(text, &given)
	}
	if err != nil {
		panic("admin: the members of a trust: " + err.Error()) // texts and numbers
	}
	var set []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if name != "jwks" && name != "authorities" {
			name = fmt.Sprintf("%s=%v", name, given[name])
		}
		set = append(set, name)
	}
	note(ctx, "set", strings.Join(set, " "))
}

func (a *handlers) readTrustKeys(ctx context.Context, in *ByTrust) (*answered[api.TrustKeys], error) {
	t, err := a.trust(ctx, in.Trust)
	if err != nil {
		return nil, err
	}
	return a.trustKeys(t), nil
}

func (a *handlers) refreshTrustKeys(ctx context.Context, in *ByTrust) (*answered[api.TrustKeys], error) {
	t, err := a.trust(ctx, in.Trust)
	if err != nil {
		return nil, err
	}
	err = a.Trusts.RefreshTrustKeys(ctx, t, a.Now())
	keys := a.trustKeys(t)
	if err != nil && keys.Body.Error == "" {
		keys.Body.Error = err.Error()
	}
	return keys, nil
}

func (a *handlers) trustKeys(t *directory.Trust) *answered[api.TrustKeys] {
	state := a.Trusts.TrustKeys(t)
	v := api.TrustKeys{Uploaded: !t.KeysAt.IsZero(), Keys: []api.TrustKey{}, Authorities: []api.TrustAuthority{}, FetchedAt: optional(state.Fetched), TriedAt: optional(state.Tried), Error: state.Error}
	for _, k := range state.Keys {
		key := api.TrustKey{ID: k.ID, Thumbprint: k.Thumbprint, Algorithms: []string{}}
		for _, alg := range k.Algorithms {
			key.Algorithms = append(key.Algorithms, string(alg))
		}
		v.Keys = append(v.Keys, key)
	}
	for _, c := range state.Authorities {
		v.Authorities = append(v.Authorities, api.TrustAuthority{Subject: c.Subject.String(), Thumbprint: clientauth.CertificateThumbprint(c), ExpiresAt: c.NotAfter.UTC()})
	}
	return &answered[api.TrustKeys]{v}
}

func (a *handlers) testPlatformToken(ctx context.Context, in *struct{ Body api.PlatformTokenTest }) (*answered[api.PlatformTokenVerdict], error) {
	if err := a.Directory.CatchUp(ctx); err != nil {
		return nil, err
	}
	snapshot := a.Directory.Snapshot()
	e := a.Trusts.Explain(ctx, in.Body.Token, in.Body.Service, snapshot, a.Now())
	v := api.PlatformTokenVerdict{Accepted: e.Reason == "", Reason: e.Reason, Credential: e.CredentialID, Findings: append([]api.ClaimFinding{}, e.Findings...)}
	if e.Trust != nil {
		v.Trust = e.Trust.Name
	}
	if e.Service != nil {
		v.Service = e.Service.Name
	}
	if !v.Accepted {
		v.Text, v.See = reason.Text(e.Reason), reason.See(e.Reason)
		if entry, ok := reason.Find(e.Reason); ok {
			v.Advice = entry.Do
		}
	}
	note(ctx, "trust", v.Trust, "service", v.Service, "credential", v.Credential, "reason", v.Reason)
	return &answered[api.PlatformTokenVerdict]{v}, nil
}

// refusedLately is how long tokens that were refused remain a problem.
const refusedLately = 24 * time.Hour

// trustProblems are sentences about what needs the attention of an operator.
func (a *handlers) trustProblems(t *directory.Trust, uses directory.TrustUses) []string {
	all := []string{}
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if t.Disabled {
		add("The trust is disabled: none of its tokens proves a service.")
	}
	state, keys := a.Trusts.TrustState(t.ID), a.Trusts.TrustKeys(t)
	switch {
	case keys.Error != "" && t.KeysAt.IsZero():
		add("The keys could not be fetched, last at %s: %s", moment(keys.Tried), keys.Error)
	case keys.Error != "":
		add("The uploaded keys cannot be used: %s", keys.Error)
	}
	// Anybody can send a token that names an unknown key. But if none was accepted since, the platform may have new keys.
	if at, ok := a.unknownKey(t); ok && !state.Accepted.IsZero() && at.After(state.Accepted) {
		add("A token named a key that the trust does not have, last at %s, and none was accepted since. If the platform has new keys, upload them: watchword trust keys %s --help", moment(at), t.Name)
	}
	for _, why := range slices.Sorted(maps.Keys(state.Refused)) {
		if at := state.Refused[why]; a.Now().Sub(at) < refusedLately {
			add("Tokens were refused, last at %s: %s (%s)", moment(at), reason.Text(why), why)
		}
	}
	if uses.Unmatched > 0 {
		of := ""
		if c, ok := a.Directory.Snapshot().Credential(uses.Example); ok {
			if s, ok := a.Directory.Snapshot().ServiceByUID(c.Service); ok {
				of = ", such as " + uses.Example + " of " + s.Name
			}
		}
		add("No token has matched %d of the %d credentials for 30 days%s.", uses.Unmatched, uses.Credentials, of)
	}
	return all
}

// trustNotes are sentences about what anybody can cause, and an operator may want to know.
func (a *handlers) trustNotes(t *directory.Trust) (all []string) {
	if at, ok := a.unknownKey(t); ok {
		all = append(all, fmt.Sprintf("A token named a key that the trust does not have, which anybody can send, last at %s. If the platform has new keys, upload them: watchword trust keys %s --help", moment(at), t.Name))
	}
	return all
}

// unknownKey is when a token last named a key that the trust does not have, if its keys were uploaded and it was lately.
func (a *handlers) unknownKey(t *directory.Trust) (at time.Time, ok bool) {
	at = a.Trusts.TrustState(t.ID).UnknownKey
	return at, !t.KeysAt.IsZero() && !at.IsZero() && !t.KeysAt.After(at) && a.Now().Sub(at) < refusedLately
}

// moment is a time in a sentence.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
