package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Services lists all services by name.
func (c *Client) Services(ctx context.Context) ([]Answer[Service], error) {
	return list[Service](ctx, c, "services", []string{"services"}, nil)
}

// CreateService makes a service.
func (c *Client) CreateService(ctx context.Context, s NewService) (a Answer[Service], err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"services"}, body: s}, &a)
	return a, err
}

// Service reads one service.
func (c *Client) Service(ctx context.Context, name string) (a Answer[Service], err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"services", name}}, &a)
	return a, err
}

// UpdateService changes a service, at that version only when it is not zero.
func (c *Client) UpdateService(ctx context.Context, name string, version int64, change ServiceChange) (a Answer[Service], err error) {
	_, err = c.do(ctx, request{method: http.MethodPatch, path: []string{"services", name}, body: change, header: ifMatch(version)}, &a)
	return a, err
}

// DeleteService deletes a service with its credentials and rules.
func (c *Client) DeleteService(ctx context.Context, name string, version int64) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: []string{"services", name}, header: ifMatch(version)}, nil)
	return err
}

func ifMatch(version int64) http.Header {
	if version == 0 {
		return nil
	}
	return http.Header{"If-Match": {strconv.Quote(strconv.FormatInt(version, 10))}}
}

// Credentials lists the credentials of a service, or of all when it is empty.
func (c *Client) Credentials(ctx context.Context, service string) ([]Answer[Credential], error) {
	path := []string{"credentials"}
	if service != "" {
		path = []string{"services", service, "credentials"}
	}
	return list[Credential](ctx, c, "credentials", path, nil)
}

// IssueCredential makes a credential and tells its secret, if it has one the server makes.
func (c *Client) IssueCredential(ctx context.Context, service string, n NewCredential) (a Answer[IssuedCredential], err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"services", service, "credentials"}, body: n}, &a)
	return a, err
}

// Credential reads one credential.
func (c *Client) Credential(ctx context.Context, id string) (a Answer[Credential], err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"credentials", id}}, &a)
	return a, err
}

// RevokeCredential ends a credential. Again is no error.
func (c *Client) RevokeCredential(ctx context.Context, id string) (a Answer[Credential], err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"credentials", id, "revoke"}}, &a)
	return a, err
}

// RotateCredential makes one in the place of another, which ends after so many seconds.
func (c *Client) RotateCredential(ctx context.Context, id string, overlapSeconds int64) (a Answer[IssuedCredential], err error) {
	body := map[string]int64{"overlapSeconds": overlapSeconds}
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"credentials", id, "rotate"}, body: body}, &a)
	return a, err
}

// Revocations lists the tokens that were revoked and the services that were deleted.
func (c *Client) Revocations(ctx context.Context) ([]Answer[Revocation], error) {
	return list[Revocation](ctx, c, "revocations", []string{"revocations"}, nil)
}

// Revocation reads one by the id of what was revoked.
func (c *Client) Revocation(ctx context.Context, id string) (a Answer[Revocation], err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"revocations", id}}, &a)
	return a, err
}

// RevokeToken revokes an access token. Again is no error.
func (c *Client) RevokeToken(ctx context.Context, n NewRevocation) (a Answer[Revocation], err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"revocations"}, body: n}, &a)
	return a, err
}

// Probe sends a service tokens it must refuse. Other names whom the token for another service is for;
// empty: nobody.
func (c *Client) Probe(ctx context.Context, service, other string) (a Answer[Probe], err error) {
	body := map[string]string{}
	if other != "" {
		body["other"] = other
	}
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"services", service, "probe"}, body: body, slow: true}, &a)
	return a, err
}

// Probes lists what came of the last probe of each service.
func (c *Client) Probes(ctx context.Context) ([]Answer[Probe], error) {
	return list[Probe](ctx, c, "probes", []string{"probes"}, nil)
}

// Rules lists the call map, or that part of it which has this caller and this target.
func (c *Client) Rules(ctx context.Context, caller, target string) ([]Answer[Rule], error) {
	query := url.Values{}
	if caller != "" {
		query.Set("caller", caller)
	}
	if target != "" {
		query.Set("target", target)
	}
	return list[Rule](ctx, c, "rules", []string{"rules"}, query)
}

// Allow puts a rule, and says whether there was none before.
func (c *Client) Allow(ctx context.Context, caller, target string, n NewRule) (a Answer[Rule], created bool, err error) {
	if n.Scopes == nil {
		n.Scopes = []string{}
	}
	status, err := c.do(ctx, request{method: http.MethodPut, path: []string{"rules", caller, target}, body: n}, &a)
	return a, status == http.StatusCreated, err
}

// Disallow deletes a rule. Again is no error.
func (c *Client) Disallow(ctx context.Context, caller, target string) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: []string{"rules", caller, target}}, nil)
	return err
}

// Keys lists the key ring.
func (c *Client) Keys(ctx context.Context) ([]Answer[Key], error) {
	var all struct {
		Keys []Answer[Key] `json:"keys"`
	}
	_, err := c.do(ctx, request{method: http.MethodGet, path: []string{"keys"}}, &all)
	return all.Keys, err
}

// RotateKeys makes the next key, and has it sign at once when r.Now is set.
func (c *Client) RotateKeys(ctx context.Context, r Rotation) (a Answer[Key], err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"keys", "rotate"}, body: r}, &a)
	return a, err
}

// RevokeKey withdraws a stolen key at once.
func (c *Client) RevokeKey(ctx context.Context, id string) (a Answer[Key], err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"keys", id, "revoke"}}, &a)
	return a, err
}

// ResealKeys seals all keys under the current sealing key.
func (c *Client) ResealKeys(ctx context.Context) (a Answer[Resealed], err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"keys", "reseal"}}, &a)
	return a, err
}

// Info is about the server.
func (c *Client) Info(ctx context.Context) (a Answer[Info], err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"info"}}, &a)
	return a, err
}

// Ready asks what keeps the server from doing its job, by part; nothing when it is ready.
func (c *Client) Ready(ctx context.Context) (problems map[string]string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL()+"/readyz", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &UnreachableError{c.URL(), err}
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil, nil
	}
	var answer struct {
		Problems map[string]string `json:"problems"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer) != nil || len(answer.Problems) == 0 {
		return map[string]string{"server": "answered " + resp.Status}, nil
	}
	return answer.Problems, nil
}

// pageSize is the most the API gives at once.
const pageSize = 1000

// list follows the pages of a list to its end.
func list[T any](ctx context.Context, c *Client, member string, path []string, query url.Values) ([]Answer[T], error) {
	all := []Answer[T]{}
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(pageSize))
	for {
		var page map[string]json.RawMessage
		if _, err := c.do(ctx, request{method: http.MethodGet, path: path, query: query}, &page); err != nil {
			return nil, err
		}
		var items []Answer[T]
		var next string
		if err := json.Unmarshal(page[member], &items); err != nil {
			return nil, fmt.Errorf("read the list of %s: %w", member, err)
		}
		if raw := page["nextPageToken"]; raw != nil {
			if err := json.Unmarshal(raw, &next); err != nil {
				return nil, fmt.Errorf("read the list of %s: %w", member, err)
			}
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		if next == query.Get("pageToken") {
			return nil, fmt.Errorf("read the list of %s: the server gave one page twice", member)
		}
		query.Set("pageToken", next)
	}
}
