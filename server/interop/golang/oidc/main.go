// Command oidc is a service that verifies tokens with github.com/coreos/go-oidc, and answers with the name
// of its caller.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

func main() {
	// It finds the keys through /.well-known/openid-configuration.
	provider, err := oidc.NewProvider(context.Background(), os.Getenv("ISSUER"))
	if err != nil {
		log.Fatal(err)
	}
	// For ID tokens the audience is called a client id. Without SupportedSigningAlgs, all algorithms
	// in the metadata are accepted.
	verifier := provider.Verifier(&oidc.Config{ClientID: os.Getenv("RESOURCE"), SupportedSigningAlgs: []string{oidc.ES256}})

	http.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		caller, err := check(r, verifier)
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "Hello to %s!", caller)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, nil))
}

func check(r *http.Request, verifier *oidc.IDTokenVerifier) (caller string, err error) {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", errors.New("no bearer token")
	}
	token, err := verifier.Verify(r.Context(), raw) // signature, iss, aud, exp
	if err != nil {
		return "", err
	}
	var claims struct {
		ClientID     string         `json:"client_id"`
		Confirmation map[string]any `json:"cnf"`
	}
	if err := token.Claims(&claims); err != nil {
		return "", err
	}
	// go-oidc does not provide the header's typ, but only access tokens have a client_id. A bound token
	// needs a proof.
	if claims.ClientID == "" || claims.Confirmation != nil {
		return "", errors.New("not a bearer access token")
	}
	return token.Subject, nil
}
