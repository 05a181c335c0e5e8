package client_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/client/clienttest"
	"github.com/watchword-dev/watchword/verify"
)

// inFile writes a file that an operator would have provided.
func inFile(name, content string) string {
	dir, err := os.MkdirTemp("", "watchword")
	if err != nil {
		log.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		log.Fatal(err)
	}
	return path
}

// Authenticate at the OAuth token endpoint with a client secret.
func ExampleClientSecretBasic() {
	auth := clienttest.NewServer() // in production: a Watchword server
	defer auth.Close()
	auth.Allow("m1", "m2", "read")
	server, secretFile := auth.URL, inFile("m1.secret", auth.Secret("m1"))
	defer os.RemoveAll(filepath.Dir(secretFile))

	c, err := client.New(client.Config{
		Server: server, // its issuer identifier, exactly
		Auth:   client.ClientSecretBasic("m1", client.File(secretFile)),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	token, err := c.TokenSource("m2", "read").Token(context.Background())
	fmt.Println(token.Type(), err)
	// Output:
	// Bearer <nil>
}

// Authenticate with a private key, and bind tokens to a key so that a stolen token is useless.
func ExamplePrivateKeyJWT() {
	auth := clienttest.NewServer()
	defer auth.Close()
	auth.Allow("m1", "m2")
	der, err := x509.MarshalPKCS8PrivateKey(auth.Key("m1"))
	if err != nil {
		log.Fatal(err)
	}
	keyFile := inFile("m1.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	defer os.RemoveAll(filepath.Dir(keyFile))
	v, err := verify.New(context.Background(), verify.Config{Issuer: auth.OAuthIssuer(), Audience: "m2", JWKSURL: auth.JWKSURL()})
	if err != nil {
		log.Fatal(err)
	}
	m2 := httptest.NewServer(v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "bound: ", verify.ClaimsFrom(r.Context()).Binding.KeyThumbprint != "")
	})))
	defer m2.Close()

	c, err := client.New(client.Config{
		Server: auth.URL,
		Auth:   client.PrivateKeyJWT("m1", client.KeyFile(keyFile)),
		DPoP:   &client.DPoP{}, // a key made for this process
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	resp, err := c.HTTPClient("m2").Get(m2.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output:
	// bound: true <nil>
}

// A service for which its platform vouches needs no secret: the environment tells where the server and the platform's
// token are.
func ExampleFromEnvironment() {
	auth := clienttest.NewServer()
	defer auth.Close()
	auth.Allow("m1", "m2")
	m2 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "token attached: ", strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "))
	}))
	defer m2.Close()
	tokenFile := inFile("token", auth.PlatformToken("m1", auth.URL)) // in production, the platform writes it
	defer os.RemoveAll(filepath.Dir(tokenFile))
	for name, value := range map[string]string{"WATCHWORD_URL": auth.URL, "WATCHWORD_TOKEN_FILE": tokenFile} {
		os.Setenv(name, value) // in production, the deployment does this
		defer os.Unsetenv(name)
	}

	c, err := client.FromEnvironment(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	resp, err := c.HTTPClient("m2").Get(m2.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output:
	// token attached: true <nil>
}

// The platform's token instead of a bootstrap credential, at POST /accesstoken.
func ExampleTokenFile() {
	auth := clienttest.NewServer()
	defer auth.Close()
	auth.Allow("m1", "m2")
	server, tokenFile := auth.URL, inFile("token", auth.PlatformToken("m1", auth.URL))
	defer os.RemoveAll(filepath.Dir(tokenFile))

	c, err := client.New(client.Config{
		Server:   server,
		Platform: client.TokenFile(tokenFile),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	token, err := c.TokenSource("m2").Token(context.Background())
	fmt.Println(token.Type(), err)
	// Output:
	// Bearer <nil>
}

// Authenticate with a certificate, which is also presented with the tokens to the services that are called.
func ExampleTLSClientAuth() {
	c, err := client.New(client.Config{
		Server:      "https://auth.example.com",
		Auth:        client.TLSClientAuth("m1"), // or SelfSignedTLSClientAuth
		Certificate: client.CertificateFiles("/run/m1/tls.crt", "/run/m1/tls.key"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	m2 := c.HTTPClient("m2")
	fmt.Println(m2.Timeout)
	// Output:
	// 0s
}

// m2 serves m1, and calls m3 on behalf of m1.
func ExampleClient_ExchangeClient() {
	auth := clienttest.NewServer()
	defer auth.Close()
	auth.Allow("m1", "m2")
	auth.AllowExchange("m2", "m3")
	verifier := func(audience string) *verify.Verifier {
		v, err := verify.New(context.Background(), verify.Config{Issuer: auth.OAuthIssuer(), Audience: audience, JWKSURL: auth.JWKSURL()})
		if err != nil {
			log.Fatal(err)
		}
		return v
	}
	m3 := httptest.NewServer(verifier("m3").Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims := verify.ClaimsFrom(r.Context())
		fmt.Fprintf(w, "for %s, through %s", claims.Subject, claims.Actor())
	})))
	defer m3.Close()
	c := open(auth, "m2")
	defer c.Close()
	v := verifier("m2")

	onward := c.ExchangeClient(client.FromContext, "m3") // made once
	handler := v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, m3.URL, nil)
		if err != nil {
			http.Error(w, "internal", http.StatusInternalServerError)
			return
		}
		resp, err := onward.Do(req)
		if err != nil {
			http.Error(w, "m3 cannot be called", http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	}))

	m2 := httptest.NewServer(handler)
	defer m2.Close()
	c1 := open(auth, "m1")
	defer c1.Close()
	resp, err := c1.HTTPClient("m2").Get(m2.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output:
	// for m1, through m2 <nil>
}

func open(auth *clienttest.Server, service string) *client.Client {
	c, err := client.New(client.Config{Server: auth.URL, Auth: client.ClientSecretPost(service, client.Static(auth.Secret(service)))})
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// Let the users of a program choose how to authenticate.
func ExampleMethods() {
	identity := client.Identity{
		ClientID: "m1",
		Secret:   client.File("m1.secret"),
		Key:      client.KeyFile("m1.key"),
	}
	chosen := "private_key_jwt"
	var names []string
	for _, m := range client.Methods() {
		names = append(names, m.Name)
		if m.Name == chosen {
			fmt.Println("chosen:", m.New(identity).Method())
		}
	}
	fmt.Println(strings.Join(names, "\n"))
	// Output:
	// chosen: private_key_jwt
	// client_secret_basic
	// client_secret_post
	// private_key_jwt
	// tls_client_auth
	// self_signed_tls_client_auth
	// bootstrap
	// workload_jwt
	// spiffe_jwt
	// spiffe_x509
}
