package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/watchword-dev/watchword/internal/jose"
)

// PlatformTokenSource returns platform tokens: tokens with which the platform that runs this process, such as
// Kubernetes, GitHub Actions or SPIFFE, vouches for it. The server must trust the platform, and a credential of the
// service must say which claims its tokens have. Then the service needs no secret.
//
// Token is called for each request to the server, since the server accepts the tokens of some platforms once. It
// returns a token for audience, which is the issuer identifier of the server, and is safe for concurrent use. Its
// errors contain no token, and say what to do.
type PlatformTokenSource interface {
	Token(ctx context.Context, audience string) (string, error)
}

// ForAudience returns a source that asks source for tokens for audience instead of the issuer identifier of the
// server. It is for servers that expect another audience from the platform.
func ForAudience(audience string, source PlatformTokenSource) PlatformTokenSource {
	return forAudience{audience, source}
}

type forAudience struct {
	audience string
	source   PlatformTokenSource
}

func (f forAudience) Token(ctx context.Context, _ string) (string, error) {
	return f.source.Token(ctx, f.audience)
}

func (f forAudience) String() string { return nameOf(f.source) + " for the audience " + f.audience }

// nameOf returns where the tokens of source come from. A source that does not say so is not printed, since it may
// contain secrets.
func nameOf(source PlatformTokenSource) string {
	if s, ok := source.(fmt.Stringer); ok {
		return s.String()
	}
	return "a source of the program"
}

// platformToken returns a platform token that can be sent to the server whose issuer identifier is issuer.
func platformToken(ctx context.Context, source PlatformTokenSource, issuer string) (string, error) {
	token, err := source.Token(ctx, issuer)
	if err != nil {
		return "", err
	}
	if err := checkToken("token", token); err != nil {
		return "", fmt.Errorf("platform token: %w", err)
	}
	return token, nil
}

// dependsOnServer reports whether source returns other tokens for other servers.
func dependsOnServer(source PlatformTokenSource) bool {
	switch source.(type) {
	case tokenFile, forAudience:
		return false
	}
	return true
}

// TokenFile returns a source that reads the token from a file into which the platform writes it, such as a projected
// service account token of Kubernetes. It reads the file each time, so the platform may replace it at any time. The
// file has one line of at most 16 KiB. Whoever configures the platform chooses the audience of the token, so Token
// ignores its argument. Errors contain the path, and never the content, nor a token that was given instead of a path.
func TokenFile(path string) PlatformTokenSource {
	return tokenFile{path, "the name of the token file"}
}

type tokenFile struct{ path, given string } // given is what gave the path, for errors

func (f tokenFile) Token(context.Context, string) (string, error) {
	b, err := readSecretFile(f.path)
	switch {
	case err != nil && jose.LooksLikeToken(f.path):
		return "", fmt.Errorf("platform token: %s is itself a token, which is not shown here; write the token to a file, and give the name of that file", f.given)
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("platform token: %w; have the platform write its token there, for instance with a projected volume of Kubernetes, or correct the path", err)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("platform token: %w; let the user that runs this process read the file", err)
	case err != nil:
		return "", fmt.Errorf("platform token: %w; name a file that contains the platform's token", err)
	}
	token := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if err := checkToken("token", token); err != nil {
		return "", fmt.Errorf("platform token file %s: %w; it must contain the platform's token, on one line, and nothing else", f.path, err)
	}
	return token, nil
}

func (f tokenFile) String() string {
	if jose.LooksLikeToken(f.path) {
		return "file " + redacted
	}
	return "file " + f.path
}
