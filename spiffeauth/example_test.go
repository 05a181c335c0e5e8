package spiffeauth_test

import (
	"log"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/spiffeauth"
)

// A client with the SPIFFE identity of its process.
func Example() {
	source, err := spiffeauth.New(spiffeauth.Options{}) // at SPIFFE_ENDPOINT_SOCKET
	if err != nil {
		log.Print(err)
		return
	}
	defer source.Close()
	c, err := client.New(client.Config{
		Server: "https://auth.example.com",
		Auth:   client.SPIFFEJWT("m1", source),
	})
	if err != nil {
		log.Print(err)
		return
	}
	defer c.Close()
}

// A client that authenticates with an X.509-SVID. The tokens are bound to it.
func ExampleSource_Certificate() {
	source, err := spiffeauth.New(spiffeauth.Options{ID: "spiffe://example.org/shop/m1"})
	if err != nil {
		log.Print(err)
		return
	}
	defer source.Close()
	c, err := client.New(client.Config{
		Server:      "https://auth.example.com",
		Auth:        client.SPIFFEX509("spiffe://example.org/shop/m1"),
		Certificate: source.Certificate,
	})
	if err != nil {
		log.Print(err)
		return
	}
	defer c.Close()
}
