package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/client/clienttest"
)

// A process has one Client, and one http.Client for each service that it calls.
func ExampleClient() {
	auth := clienttest.NewServer() // in production: a Watchword server
	defer auth.Close()
	auth.Allow("m1", "m2")
	m2 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "token attached: ", strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "))
	}))
	defer m2.Close()

	c, err := client.New(client.Config{
		Server:     auth.URL,
		Credential: client.Static(auth.Credential("m1")), // in production: client.File(path)
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
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(body))

	// A call that no rule allows is refused.
	_, err = c.HTTPClient("m3").Get(m2.URL)
	var denied *client.DeniedError
	fmt.Println("m3 denied:", errors.As(err, &denied), denied.Code)
	// Output:
	// token attached: true
	// m3 denied: true access_denied
}

// For other protocols than HTTP, use the token itself.
func ExampleTokenSource() {
	auth := clienttest.NewServer()
	defer auth.Close()
	auth.Allow("m1", "m2", "read")
	c, err := client.New(client.Config{Server: auth.URL, Credential: client.Static(auth.Credential("m1"))})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	source := c.TokenSource("m2", "read")
	for range 3 { // before each call; the token is cached
		token, err := source.Token(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token, strings.Count(token.Reveal(), "."))
	}
	fmt.Println("requests:", auth.Requests())
	// Output:
	// [redacted] 2
	// [redacted] 2
	// [redacted] 2
	// requests: 1
}
