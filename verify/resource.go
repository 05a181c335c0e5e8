package verify

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/watchword-dev/watchword/internal/dpop"
)

// Resource describes a service to its clients, so that one that knows only the service's URL finds
// out where to get a token for it (RFC 9728).
type Resource struct {
	// URL is the resource identifier: absolute, without a query or a fragment. It is what clients ask
	// a token for, so it is to be one of the Config's audiences. Empty: no metadata.
	URL string
	// Name and Documentation, a URL, are for people. Scopes are those there are. All may be empty.
	Name, Documentation string
	Scopes              []string
}

// resource is a Resource made ready.
type resource struct {
	path, metadataURL string
	document          []byte
}

// wellKnown is put between host and path (RFC 9728, section 3.1).
const wellKnown = "/.well-known/oauth-protected-resource"

func (c Config) resource(issuers []string) (resource, error) {
	in := c.Resource
	if in.URL == "" {
		return resource{}, nil
	}
	u, err := url.Parse(in.URL)
	if err != nil || !dpop.IsURL(in.URL) || strings.ContainsAny(in.URL, "?#") {
		return resource{}, errors.New("Config.Resource.URL is not an absolute http or https URL without query and fragment")
	}
	path := wellKnown + strings.TrimSuffix(u.EscapedPath(), "/")
	r := resource{path: path, metadataURL: u.Scheme + "://" + u.Host + path}
	doc := struct {
		Resource      string   `json:"resource"`
		Servers       []string `json:"authorization_servers,omitempty"`
		Scopes        []string `json:"scopes_supported,omitempty"`
		Methods       []string `json:"bearer_methods_supported"`
		Name          string   `json:"resource_name,omitempty"`
		Documentation string   `json:"resource_documentation,omitempty"`
		Algorithms    []string `json:"dpop_signing_alg_values_supported"`
	}{
		Resource: in.URL, Scopes: in.Scopes, Methods: []string{"header"}, Name: in.Name, Documentation: in.Documentation,
		Algorithms: strings.Fields(proofAlgorithms),
	}
	for _, iss := range issuers {
		if dpop.IsURL(iss) { // the plain door's issuer is no URL, and has no metadata
			doc.Servers = append(doc.Servers, iss)
		}
	}
	r.document, err = json.Marshal(doc)
	return r, err
}

// ResourceMetadata returns where the metadata of Config.Resource belongs and what answers there:
//
//	mux.Handle(v.ResourceMetadata())
//
// It needs no token. Without a Config.Resource.URL it answers 404.
func (v *Verifier) ResourceMetadata() (pattern string, handler http.Handler) {
	if v.resource.path == "" {
		return "GET " + wellKnown, http.NotFoundHandler()
	}
	return "GET " + v.resource.path, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(v.resource.document) // the client is gone: nobody to tell
	})
}
