// Command keyfunc is a service that verifies tokens with github.com/golang-jwt/jwt and
// github.com/MicahParks/keyfunc, and answers with the name of its caller.
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

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

type claims struct {
	jwt.RegisteredClaims
	Confirmation map[string]any `json:"cnf"`
}

func main() {
	// It caches the keys, and fetches them again every hour and, at most every five minutes, for an
	// unknown key.
	keys, err := keyfunc.NewDefaultCtx(context.Background(), []string{os.Getenv("ISSUER") + "/.well-known/jwks.json"})
	if err != nil {
		log.Fatal(err)
	}
	// Each of these is checked only if its option is given.
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256"}),
		jwt.WithIssuer(os.Getenv("ISSUER")),
		jwt.WithAudience(os.Getenv("RESOURCE")),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
	)
	http.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		caller, err := check(r, parser, keys)
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

func check(r *http.Request, parser *jwt.Parser, keys keyfunc.Keyfunc) (caller string, err error) {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", errors.New("no bearer token")
	}
	var c claims
	token, err := parser.ParseWithClaims(raw, &c, keys.Keyfunc)
	if err != nil {
		return "", err
	}
	if token.Header["typ"] != "at+jwt" { // RFC 9068, section 4
		return "", errors.New("not an access token")
	}
	if c.Confirmation != nil { // a bound token needs a proof
		return "", errors.New("a bound token was sent as a bearer token")
	}
	return c.Subject, nil
}
