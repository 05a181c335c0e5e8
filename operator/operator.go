// Package operator is a client of the operator API of a Watchword server: services, their credentials, the call
// map, signing keys, revocations, and why a request was decided as it was. Package api has the types that it
// sends and returns; the server's own command line uses it too.
//
// A Client is made with the URL of the operator's listener and the operator token, which the server keeps in the
// file operator.token of its data folder:
//
//	c, err := operator.New("http://127.0.0.1:8010", token)
//	service, err := c.CreateService(ctx, api.NewService{Name: "m1"})
//
// A change is in force on the server that answers when its method returns nil. A method that creates something sends an
// Idempotency-Key, and repeats its request for up to 45 seconds if the connection breaks before the answer arrives; the
// server carries it out once. Other requests are not repeated, except where a method says so. The error of a method is
//   - an *Error when the server refused: StatusOf returns its HTTP status, 404 for what is not there, 409 for what
//     is taken or belongs to a call map file, 412 for another version than the one named, 422 for a value that is
//     not allowed;
//   - an *UnreachableError when no answer came: a change may have been made or not;
//   - another error when what answered is not the operator API.
//
// Methods that list return an iterator, which asks for the next page when it gets there and ends with the first
// error. Collect returns the whole list.
package operator

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// Versions that stand for more than one. Any other number is that of a version, as api.Service and api.Rule
// have it: a change is made only while it is the current one, else the error is an *Error of status 412.
const (
	// AnyVersion makes a change whatever is there.
	AnyVersion int64 = 0
	// NoVersion makes a change only while nothing is there. It is for PutRule.
	NoVersion int64 = -1
)

// Services lists all services by name.
func (c *Client) Services(ctx context.Context) iter.Seq2[api.Service, error] {
	return pages(ctx, c, at("services"), named(), func(l api.ServiceList) ([]api.Service, string) { return l.Services, l.NextPageToken })
}

// CreateService makes a service, which has no credential yet and may call nobody. Status 409: the name or an
// audience is taken.
func (c *Client) CreateService(ctx context.Context, s api.NewService) (api.Service, error) {
	return call[api.Service](ctx, c, request{method: http.MethodPost, path: at("services"), body: s, once: true})
}

// Service reads the service of that name.
func (c *Client) Service(ctx context.Context, name string) (api.Service, error) {
	return call[api.Service](ctx, c, request{path: at("services", name)})
}

// UpdateService changes what the patch names and leaves the rest. Status 409: an audience is taken, or a call map
// file owns the service, of which only Disabled can be changed then.
func (c *Client) UpdateService(ctx context.Context, name string, version int64, patch api.ServicePatch) (api.Service, error) {
	return call[api.Service](ctx, c, request{method: http.MethodPatch, path: at("services", name), body: patch, header: onlyVersion(version)})
}

// DeleteService deletes a service with its credentials and all rules that name it.
func (c *Client) DeleteService(ctx context.Context, name string, version int64) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: at("services", name), header: onlyVersion(version)}, nil)
	return err
}

// Credentials lists the credentials of a service or, when the name is empty, of all. The server records who
// looked.
func (c *Client) Credentials(ctx context.Context, service string) iter.Seq2[api.Credential, error] {
	return c.CredentialsEnding(ctx, service, 0)
}

// CredentialsEnding lists those of Credentials that are not revoked and expire within that time, in whole seconds. Zero:
// all.
func (c *Client) CredentialsEnding(ctx context.Context, service string, within time.Duration) iter.Seq2[api.Credential, error] {
	path := at("credentials")
	if service != "" {
		path = at("services", service, "credentials")
	}
	query := named()
	if seconds := int64(within / time.Second); seconds > 0 {
		query.Set("expiresWithinSeconds", strconv.FormatInt(seconds, 10))
	}
	return pages(ctx, c, path, query, func(l api.CredentialList) ([]api.Credential, string) { return l.Credentials, l.NextPageToken })
}

// CreateCredential makes a credential. The answer has its secret, if it is of a kind whose secret the server
// creates. The secret cannot be read again.
func (c *Client) CreateCredential(ctx context.Context, service string, n api.NewCredential) (api.IssuedCredential, error) {
	return call[api.IssuedCredential](ctx, c, request{method: http.MethodPost, path: at("services", service, "credentials"), body: n, once: true})
}

// Credential reads a credential by its id.
func (c *Client) Credential(ctx context.Context, id string) (api.Credential, error) {
	return call[api.Credential](ctx, c, request{path: at("credentials", id)})
}

// RotateCredential creates a credential that replaces another, which ends when the overlap has passed since the new one
// was first used.
func (c *Client) RotateCredential(ctx context.Context, id string, r api.CredentialRotation) (api.RotatedCredential, error) {
	return call[api.RotatedCredential](ctx, c, request{method: http.MethodPost, path: at("credentials", id, "rotate"), body: r, once: true})
}

// RevokeCredential ends a credential. To revoke it again is no error.
func (c *Client) RevokeCredential(ctx context.Context, id string) (api.Credential, error) {
	return call[api.Credential](ctx, c, request{method: http.MethodPost, path: at("credentials", id, "revoke")})
}

// Rules lists the call map, or the part of it with that caller and that target. An empty name is any.
func (c *Client) Rules(ctx context.Context, caller, target string) iter.Seq2[api.Rule, error] {
	return pages(ctx, c, at("rules"), named("caller", caller, "target", target), func(l api.RuleList) ([]api.Rule, string) { return l.Rules, l.NextPageToken })
}

// Rule reads the rule that allows caller to call target.
func (c *Client) Rule(ctx context.Context, caller, target string) (api.Rule, error) {
	return call[api.Rule](ctx, c, request{path: at("rules", caller, target)})
}

// PutRule makes the rule that allows caller to call target, or replaces all that it says, and reports whether it
// made one. ChangeRule keeps what is not changed. Status 404: one of the services is not there; 409: a call map
// file owns the rule.
func (c *Client) PutRule(ctx context.Context, caller, target string, version int64, terms api.RuleTerms) (rule api.Rule, created bool, err error) {
	header := onlyVersion(version)
	if version == NoVersion {
		header = http.Header{"If-None-Match": {"*"}}
	}
	if terms.Scopes == nil {
		terms.Scopes = []string{} // null is no list
	}
	status, err := c.do(ctx, request{method: http.MethodPut, path: at("rules", caller, target), body: terms, header: header}, &rule)
	return rule, status == http.StatusCreated, err
}

// ChangeRule has edit change what the rule from caller to target says, or an empty one where there is none, and puts
// the result in its place. It begins again when somebody else changed the rule meanwhile, so that nothing that edit
// leaves alone is lost. It returns the rule as it was, nil where there was none, and as it is. Errors are those of
// PutRule.
func (c *Client) ChangeRule(ctx context.Context, caller, target string, edit func(*api.RuleTerms)) (before *api.Rule, after api.Rule, err error) {
	for attempt := 0; ; attempt++ {
		var terms api.RuleTerms
		version := NoVersion
		old, err := c.Rule(ctx, caller, target)
		switch {
		case err == nil:
			before, version, terms = &old, old.Version, old.RuleTerms
			if terms.When != nil {
				when := *terms.When // the one before stays as it is
				terms.When = &when
			}
		case StatusOf(err) == http.StatusNotFound:
			before = nil
		default:
			return nil, api.Rule{}, err
		}
		edit(&terms)
		after, _, err = c.PutRule(ctx, caller, target, version, terms)
		if StatusOf(err) != http.StatusPreconditionFailed || attempt == 10 {
			return before, after, err
		}
	}
}

// DeleteRule deletes the rule that allows caller to call target. That there is none is no error.
func (c *Client) DeleteRule(ctx context.Context, caller, target string, version int64) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: at("rules", caller, target), header: onlyVersion(version)}, nil)
	return err
}

// Keys lists the signing keys.
func (c *Client) Keys(ctx context.Context) ([]api.Key, error) {
	l, err := call[api.KeyList](ctx, c, request{path: at("keys")})
	return l.Keys, err
}

// RotateKeys replaces the key that signs by the next one, once that was published long enough, and returns
// it. Status 404: no key of that use and algorithm signs.
func (c *Client) RotateKeys(ctx context.Context, r api.KeyRotation) (api.Key, error) {
	return call[api.Key](ctx, c, request{method: http.MethodPost, path: at("keys", "rotate"), body: r, once: true})
}

// RevokeKey withdraws a stolen key at once. To revoke it again is no error.
func (c *Client) RevokeKey(ctx context.Context, id string) (api.Key, error) {
	return call[api.Key](ctx, c, request{method: http.MethodPost, path: at("keys", id, "revoke")})
}

// ResealKeys seals all private keys under the first line of the sealing key file.
func (c *Client) ResealKeys(ctx context.Context) (api.Resealed, error) {
	return call[api.Resealed](ctx, c, request{method: http.MethodPost, path: at("keys", "reseal")})
}

// Revocations lists the tokens that were revoked one by one and the services that were deleted, for as long as a
// token could depend on them.
func (c *Client) Revocations(ctx context.Context) iter.Seq2[api.Revocation, error] {
	return pages(ctx, c, at("revocations"), named(), func(l api.RevocationList) ([]api.Revocation, string) { return l.Revocations, l.NextPageToken })
}

// Revocation reads the revocation of a token by its jti, or of a service by its uid.
func (c *Client) Revocation(ctx context.Context, id string) (api.Revocation, error) {
	return call[api.Revocation](ctx, c, request{path: at("revocations", id)})
}

// RevokeToken revokes an access token, and those it was exchanged for. To revoke it again is no error.
func (c *Client) RevokeToken(ctx context.Context, n api.NewRevocation) (api.Revocation, error) {
	return call[api.Revocation](ctx, c, request{method: http.MethodPost, path: at("revocations"), body: n, once: true})
}

// Probe has the server send a service tokens that it must refuse, and returns what the service did. It takes up to
// two minutes. Status 409: the service has no probe URL.
func (c *Client) Probe(ctx context.Context, service string, n api.NewProbe) (api.ProbeResult, error) {
	return call[api.ProbeResult](ctx, c, request{method: http.MethodPost, path: at("services", service, "probe"), body: n, slow: true})
}

// Probes lists what came of the last probe of each service.
func (c *Client) Probes(ctx context.Context) iter.Seq2[api.ProbeResult, error] {
	return pages(ctx, c, at("probes"), named(), func(l api.ProbeList) ([]api.ProbeResult, string) { return l.Probes, l.NextPageToken })
}

// Changes lists what was changed after a revision, the oldest first, at most limit of them (up to 1,000).
func (c *Client) Changes(ctx context.Context, after int64, limit int) ([]api.Change, error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	l, err := call[api.ChangeList](ctx, c, request{path: at("changes"), query: query})
	return l.Changes, err
}

// Info describes the server.
func (c *Client) Info(ctx context.Context) (api.Info, error) {
	return call[api.Info](ctx, c, request{path: at("info")})
}
