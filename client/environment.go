package client

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// The environment variables that FromEnvironment reads. None of them contains a secret.
const (
	envURL       = "WATCHWORD_URL"
	envTokenFile = "WATCHWORD_TOKEN_FILE"
	envAudience  = "WATCHWORD_AUDIENCE"
	envClientID  = "WATCHWORD_CLIENT_ID"
	envGitHub    = "GITHUB_ACTIONS" // "true" in every job
)

// FromEnvironment returns a Client for a service that has no secret, because the platform that runs it vouches for it.
// These environment variables configure it:
//
//   - WATCHWORD_URL is the issuer identifier of the server, such as https://auth.example.com.
//   - WATCHWORD_TOKEN_FILE is the file into which the platform writes the token of this process; see [TokenFile]. In
//     a job of GitHub Actions it is not needed; see [GitHubActions].
//   - WATCHWORD_AUDIENCE is the audience to ask GitHub for, if the server expects another one than its issuer
//     identifier.
//   - WATCHWORD_CLIENT_ID is the name of this service, if the token could be that of several services.
//
// The client authenticates by [WorkloadJWT]. [Client.String] tells where its tokens come from. FromEnvironment reads
// the file once, to report a mistake at the start. If a variable is missing or the file cannot be read, it returns an
// error that says what to do. Neither FromEnvironment nor the Client ever uses a secret instead. The functions in
// edits change the rest of the configuration before the client is made.
func FromEnvironment(ctx context.Context, edits ...func(*Config)) (*Client, error) {
	return fromEnvironment(ctx, os.Getenv, edits)
}

func fromEnvironment(ctx context.Context, getenv func(string) string, edits []func(*Config)) (*Client, error) {
	server := getenv(envURL)
	platform, err := PlatformFromEnvironment(getenv)
	if server == "" {
		err = errors.Join(fmt.Errorf("%s is not set; set it to the issuer identifier of the server, such as https://auth.example.com", envURL), err)
	}
	if file := getenv(envTokenFile); file != "" && err == nil {
		_, err = tokenFile{file, envTokenFile}.Token(ctx, "")
	}
	if err != nil {
		return nil, fmt.Errorf("watchword client: %w", err)
	}
	cfg := Config{Server: server, Auth: WorkloadJWT(getenv(envClientID), platform)}
	for _, edit := range edits {
		edit(&cfg)
	}
	return New(cfg)
}

// PlatformFromEnvironment returns the source of platform tokens that FromEnvironment uses. getenv is os.Getenv, or
// returns variables from elsewhere. Printing the source tells which one it is.
func PlatformFromEnvironment(getenv func(string) string) (PlatformTokenSource, error) {
	var source PlatformTokenSource
	switch file := getenv(envTokenFile); {
	case file != "":
		source = tokenFile{file, envTokenFile}
	case getenv(githubRequestURL) != "":
		source = GitHubActions()
	case getenv(envGitHub) == "true":
		return nil, errGitHubPermission
	default:
		return nil, fmt.Errorf("%s is not set; set it to the file into which the platform writes the token of this process. In a job of GitHub Actions, set `permissions: id-token: write` instead", envTokenFile)
	}
	if audience := getenv(envAudience); audience != "" {
		source = ForAudience(audience, source)
	}
	return source, nil
}
