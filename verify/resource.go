package verify

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/watchword-dev/watchword/internal/dpop"
)

// Resource describes a service to its clients, so that a client that knows only the service's URL finds out where
// to get a token (RFC 9728).
type Resource struct {
	// URL is the resource identifier: an absolute URL without query or fragment. Clients request tokens for it, so
	// it must be one of the audiences in Config. If empty, there is no metadata.
	URL string
	// Name and Documentation, which is a URL, are for people. Scopes are the scopes of the service. All may be empty.
	Name, Documentation string
	Scopes              []string
}

// resource is a Resource in the form in which it is served.
type resource struct {
	path, metadataURL string
	document          []byte
}

// wellKnown is inserted between host and path (RFC 9728, section 3.1).
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
		if dpop.IsURL(iss) { // an issuer such as auth-server is not a URL and has no metadata
			doc.Servers = append(doc.Servers, iss)
		}
	}
	r.document, err = json.Marshal(doc)
	return r, err
}

// ResourceMetadata returns the path and the handler of the metadata of Config.Resource:
//
//	mux.Handle(v.ResourceMetadata())
//
// The handler requires no token. It answers 404 if Config.Resource.URL is empty.
func (v *Verifier) ResourceMetadata() (pattern string, handler http.Handler) {
	if v.resource.path == "" {
		return "GET " + wellKnown, http.NotFoundHandler()
	}
	return "GET " + v.resource.path, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(v.resource.document) // the client may have gone
	})
}
