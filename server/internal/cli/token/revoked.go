package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/strictjson"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// maxDenyList is room for 400,000 ids.
const maxDenyList = 16 << 20

// denyList is the signed list of what was revoked.
type denyList struct {
	Issuers []string `json:"issuers"`
	Expiry  int64    `json:"exp"`
	Denied  []string `json:"denied"`
	Keys    []string `json:"keys"`
}

// fetchDenyList reads the deny-list and checks its signature.
func fetchDenyList(ctx context.Context, server string, keys *jose.KeySet, now time.Time) (*denyList, error) {
	body, err := fetch(ctx, server+"/oauth2/denylist", maxDenyList)
	if err != nil {
		return nil, err
	}
	t, err := jose.ParseLong(strings.TrimSpace(string(body)), maxDenyList)
	if err != nil {
		return nil, err
	}
	if t.Type != "denylist+jwt" {
		return nil, errors.New("the answer is not a deny-list")
	}
	if err := t.Verify(keys, jose.Algorithms()); err != nil {
		return nil, err
	}
	var l denyList
	if err := strictjson.UnmarshalLong(t.Payload, &l); err != nil {
		return nil, err
	}
	if !now.Before(time.Unix(l.Expiry, 0)) {
		return nil, errors.New("the deny-list has expired")
	}
	return &l, nil
}

// statusError is an answer other than 200.
type statusError struct {
	url    string
	status int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", e.url, e.status, http.StatusText(e.status))
}

// adviceOn returns what to do about an error of fetch.
func adviceOn(err error) string {
	status := 0
	if e, ok := errors.AsType[*statusError](err); ok {
		status = e.status
	}
	return strings.ReplaceAll(base.PublicAdvice(err, status), "\n", " ")
}

// fetch reads what a server publishes.
func fetch(ctx context.Context, url string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its limit below
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &statusError{url, resp.StatusCode}
	}
	return body, nil
}

// denied returns the ids for which the list refuses the token.
func (l *denyList) denied(c *jose.Claims) (ids []string) {
	checked := append([]string{c.ID}, c.Deps...)
	if len(c.Targets) == 1 { // of several, it depends on the one that receives the token
		checked = append(checked, c.Targets...)
	}
	for _, id := range checked {
		if id != "" && slices.Contains(l.Denied, id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// whyRevoked returns, in words, for which of the ids on which the token depends it is refused. The time and the name
// come from the operator API, to which only ids and names are sent.
func whyRevoked(c *base.CLI, cmd *cobra.Command, claims *jose.Claims, ids []string) string {
	admin, err := c.Admin(cmd)
	var reasons []string
	for _, id := range ids {
		role := roleOf(claims, id)
		reason := ""
		if err == nil {
			reason = role.tell(cmd.Context(), admin, id)
		}
		if reason == "" {
			reason = fmt.Sprintf("%s, %s, was %s", role.what, id, role.end)
		}
		reasons = append(reasons, reason)
	}
	return strings.Join(reasons, "; ")
}

// trustID begins the ids on which the tokens of a trust depend.
const trustID = "trust_"

// role names what an id of a token refers to.
type role struct {
	kind string // of the id: token, service, credential or trust
	what string
	end  string
	name string // of the service, as the token has it
}

// roleOf follows the order of deps: the uid of sub and its credential, then for each exchange the jti of the
// token that was exchanged, the uid of the actor and its credential. The id of a trust may be behind each credential.
func roleOf(claims *jose.Claims, id string) role {
	if id == claims.ID {
		return role{"token", "the token itself", "revoked", ""}
	}
	if strings.HasPrefix(id, trustID) {
		return role{"trust", "a trust that proved a service", "removed, or changed so that it accepts less", ""}
	}
	deps := slices.DeleteFunc(slices.Clone(claims.Deps), func(dep string) bool { return strings.HasPrefix(dep, trustID) })
	at := slices.Index(deps, id)
	if at < 0 {
		return role{"service", "the service for which it was issued", "deleted or disabled", strings.Join(claims.Audience, " ")}
	}
	name := claims.Subject
	if hop := (at - 2) / 3; at >= 2 {
		name = ""
		// A service that impersonates is not among the actors, which then cannot be counted.
		if hops := (len(deps) - 2) / 3; len(claims.Actors) == hops && hop < hops {
			name = claims.Actors[hops-1-hop]
		}
	}
	of := "of " + name
	if name == "" {
		of = "of a service that exchanged it"
	}
	switch {
	case at == 0 || at >= 2 && (at-2)%3 == 1:
		return role{"service", "the service " + strings.TrimPrefix(of, "of "), "deleted or disabled", name}
	case at >= 2 && (at-2)%3 == 0:
		return role{"token", "a token from which it was exchanged", "revoked", name}
	}
	return role{"credential", "a credential " + of + ", for which it was issued", "revoked", name}
}

// tell reads from the operator API what happened to id. It returns "" if the API does not have it.
func (r role) tell(ctx context.Context, admin *operator.Client, id string) string {
	switch r.kind {
	case "credential":
		cr, err := admin.Credential(ctx, id)
		if err != nil || cr.RevokedAt == nil {
			return ""
		}
		named := ""
		if cr.Name != "" {
			named = fmt.Sprintf(" (%q)", cr.Name)
		}
		return fmt.Sprintf("the %s credential %s%s of %s, for which it was issued, was revoked on %s", cr.Kind, id, named, cr.Service, base.MomentOf(cr.RevokedAt))
	case "service":
		if s, err := admin.Service(ctx, r.name); r.name != "" && err == nil && s.UID == id {
			if s.Disabled {
				return fmt.Sprintf("the service %s is disabled", r.name)
			}
			return ""
		}
	}
	revoked, err := admin.Revocation(ctx, id)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s, %s, was %s on %s", r.what, id, map[string]string{"token": "revoked", "service": "deleted", "trust": r.end}[r.kind], base.Moment(revoked.RevokedAt))
}
