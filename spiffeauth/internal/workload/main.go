// Command workload is a workload without a secret, for the tests in server/interop: it gets access tokens with what SPIFFE
// gives it. Each line of its input is a JSON object that says how and for which service, and each line of its output
// has the token or the error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/spiffeauth"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type answer struct {
	AccessToken string `json:"access_token"`
	Error       string `json:"error"`
}

func run() error {
	id := os.Getenv("SPIFFE_ID")
	source, err := spiffeauth.New(spiffeauth.Options{ID: id})
	if err != nil {
		return err
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var ask struct{ Method, Target string }
		if err := in.Decode(&ask); errors.Is(err, io.EOF) {
			return source.Close()
		} else if err != nil {
			return err
		}
		var a answer
		if a.AccessToken, err = token(source, ask.Method, id, ask.Target); err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil { //nolint:gosec // the tests look at the token
			return err
		}
	}
}

// token gets a token with a client of its own, which has none yet.
func token(source *spiffeauth.Source, method, id, target string) (string, error) {
	cfg := client.Config{Server: os.Getenv("WATCHWORD_URL")}
	switch method {
	case api.WorkloadJWT:
		cfg.Auth = client.WorkloadJWT("", source)
	case api.SPIFFEJWT:
		cfg.Auth = client.SPIFFEJWT(id, source)
	case api.SPIFFEX509:
		cfg.Auth, cfg.Certificate = client.SPIFFEX509(id), source.Certificate
	default:
		return "", fmt.Errorf("there is no method %q", method)
	}
	c, err := client.New(cfg)
	if err != nil {
		return "", err
	}
	defer c.Close()
	t, err := c.TokenSource(target).Token(context.Background())
	return t.Reveal(), err
}
