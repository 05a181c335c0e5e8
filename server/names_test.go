package server_test

import (
	"crypto/x509"
	"slices"
	"testing"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/endpoint"
)

// What package api names is what the server does, and what the SDK can: each has a table of its own functions.
func TestNamesAreThoseOfTheTables(t *testing.T) {
	var sdk, grants []string
	for _, m := range client.Methods() {
		sdk = append(sdk, m.Name)
	}
	for _, g := range endpoint.Grants() {
		grants = append(grants, g.Type)
	}
	server := clientauth.New(clientauth.Options{Pepper: make([]byte, 32), Certificates: true, ClientCAs: x509.NewCertPool}).Names()
	for _, c := range []struct {
		what  string
		named []api.Name
		done  []string
	}{
		{"the methods of clientauth", api.AuthMethods(), server},
		{"client.Methods", api.AuthMethods(), sdk},
		{"endpoint.Grants", api.GrantTypes(), grants},
	} {
		want := api.NamesOf(c.named)
		slices.Sort(want)
		if slices.Sort(c.done); !slices.Equal(c.done, want) {
			t.Errorf("%s has %v, and package api names %v", c.what, c.done, want)
		}
	}
}
