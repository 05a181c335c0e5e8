package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// The environment variables with which the runner of GitHub Actions says where a job gets its token, and with which
// secret it asks for it. The runner sets them in jobs with the permission id-token: write.
const (
	githubRequestURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	githubRequestToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

// githubTimeout limits one request to the runner's service.
const githubTimeout = 10 * time.Second

var errGitHubPermission = errors.New("GitHub Actions gives this job no token; set `permissions: id-token: write` for the job in its workflow file")

// GitHubActions returns a source that asks GitHub for the OpenID Connect token of the job in which this process runs.
// Each token is a new one, since the server accepts it once. The job needs `permissions: id-token: write`. See
// https://docs.github.com/actions/reference/security/oidc.
func GitHubActions() PlatformTokenSource { return githubActions{} }

type githubActions struct{}

func (githubActions) String() string { return "GitHub Actions" }

func (githubActions) Token(ctx context.Context, audience string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, githubTimeout)
	defer cancel()
	req, err := githubRequest(ctx, os.Getenv(githubRequestURL), os.Getenv(githubRequestToken), audience)
	if err != nil {
		return "", fmt.Errorf("platform token: %w", err)
	}
	h := withoutRedirects(nil) // the secret of the request must not reach another host
	defer h.CloseIdleConnections()
	resp, err := h.Do(req) //nolint:gosec // the runner says where, in the environment of the job
	if err != nil {
		return "", fmt.Errorf("platform token: cannot ask GitHub for the token of this job: %w", withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }() // read to its limit below
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return "", fmt.Errorf("platform token: read the answer of GitHub: %w", err)
	}
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return "", fmt.Errorf("platform token: %w (it answered %d)", errGitHubPermission, code)
	case code >= 300 && code < 400:
		return "", fmt.Errorf("platform token: GitHub redirects the request%s, which is not followed because the request has a secret; check %s", redirectHost(resp), githubRequestURL)
	case code != http.StatusOK:
		return "", fmt.Errorf("platform token: GitHub answered %d to the request for the token of this job; see https://www.githubstatus.com", code)
	}
	var a struct {
		Value string `json:"value"`
	}
	if err := strictjson.Unmarshal(body, &a); err != nil || len(body) > maxAnswer { // the error may quote the token
		return "", fmt.Errorf("platform token: the answer of GitHub is not one JSON object of at most %d bytes; check %s", maxAnswer, githubRequestURL)
	}
	if err := checkToken("token", a.Value); err != nil {
		return "", fmt.Errorf("platform token: GitHub answered with a token that is none: %w; check %s", err, githubRequestURL)
	}
	return a.Value, nil
}

// githubRequest returns the request for a token for audience. Errors contain neither where nor secret.
func githubRequest(ctx context.Context, where, secret, audience string) (*http.Request, error) {
	if where == "" || secret == "" {
		return nil, errGitHubPermission
	}
	u, err := url.Parse(where)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !netaddr.IsLoopback(u.Hostname())) {
		return nil, fmt.Errorf("%s is not an https URL; it must be as the runner of GitHub Actions set it", githubRequestURL)
	}
	query := u.Query()
	query.Set("audience", audience)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody) //nolint:gosec // likewise
	if err != nil {
		return nil, fmt.Errorf("create the request to GitHub: %w", withoutURL(err))
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	return req, nil
}

// withoutURL returns the cause of an error of a request. The URL has an id of the job, and is of no use to the reader.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
