package operator

import (
	"context"
	"iter"
	"net/http"

	"github.com/watchword-dev/watchword/api"
)

// Trusts lists all trusts by name, those with problems first. The texts of their keys are left out: Trust returns them.
func (c *Client) Trusts(ctx context.Context) iter.Seq2[api.Trust, error] {
	return pages(ctx, c, at("trusts"), named(), func(l api.TrustList) ([]api.Trust, string) { return l.Trusts, l.NextPageToken })
}

// CreateTrust adds a trust. Status 409: the name or the issuer is that of another trust; 422: a setting is not allowed.
func (c *Client) CreateTrust(ctx context.Context, n api.NewTrust) (api.Trust, error) {
	return call[api.Trust](ctx, c, request{method: http.MethodPost, path: at("trusts"), body: n, once: true})
}

// Trust reads the trust of that name.
func (c *Client) Trust(ctx context.Context, name string) (api.Trust, error) {
	return call[api.Trust](ctx, c, request{path: at("trusts", name)})
}

// UpdateTrust changes what the patch names and leaves the rest. If the trust accepts less than before, the tokens that
// were issued for its tokens are revoked. Status 409: the issuer is that of another trust, or a call map file owns the
// trust, of which only Disabled can be changed then.
func (c *Client) UpdateTrust(ctx context.Context, name string, version int64, patch api.TrustPatch) (api.Trust, error) {
	return call[api.Trust](ctx, c, request{method: http.MethodPatch, path: at("trusts", name), body: patch, header: onlyVersion(version)})
}

// DeleteTrust removes a trust, and revokes the credentials that name it and the tokens that were issued for them.
func (c *Client) DeleteTrust(ctx context.Context, name string, version int64) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: at("trusts", name), header: onlyVersion(version)}, nil)
	return err
}

// TrustKeys returns the keys of a trust that the server has.
func (c *Client) TrustKeys(ctx context.Context, name string) (api.TrustKeys, error) {
	return call[api.TrustKeys](ctx, c, request{path: at("trusts", name, "keys")})
}

// RefreshTrustKeys has the server fetch the keys of a trust, unless they are uploaded, or it asked for them less than 30
// seconds ago, and returns them.
func (c *Client) RefreshTrustKeys(ctx context.Context, name string) (api.TrustKeys, error) {
	return call[api.TrustKeys](ctx, c, request{method: http.MethodPost, path: at("trusts", name, "keys", "refresh")})
}

// TestPlatformToken returns which service a platform's token would prove, or why it would be refused, claim by claim. The
// token is not used up.
func (c *Client) TestPlatformToken(ctx context.Context, t api.PlatformTokenTest) (api.PlatformTokenVerdict, error) {
	return call[api.PlatformTokenVerdict](ctx, c, request{method: http.MethodPost, path: at("platform-tokens", "test"), body: t})
}
