// Command zitadel is a service that introspects each token with github.com/zitadel/oidc/v3/pkg/client/rs, and
// answers with the name of its caller.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/client/rs"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

func main() {
	// It finds the endpoint through /.well-known/openid-configuration.
	server, err := rs.NewResourceServerClientCredentials(context.Background(),
		os.Getenv("ISSUER"), os.Getenv("CALLEE_ID"), os.Getenv("CALLEE_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		caller, err := check(r, server)
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

func check(r *http.Request, server rs.ResourceServer) (caller string, err error) {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", errors.New("no bearer token")
	}
	answer, err := rs.Introspect[*oidc.IntrospectionResponse](r.Context(), server, raw)
	if err != nil {
		return "", err
	}
	// Tokens of POST /accesstoken are active too, and have another issuer.
	if !answer.Active || answer.Issuer != os.Getenv("ISSUER") || !slices.Contains(answer.Audience, os.Getenv("RESOURCE")) {
		return "", errors.New("not a token for this service")
	}
	if answer.Claims["cnf"] != nil { // a bound token needs a proof
		return "", errors.New("a bound token was sent as a bearer token")
	}
	return answer.Subject, nil
}
