package app

import (
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/server/internal/admin"
	"github.com/watchword-dev/watchword/server/internal/buildinfo"
	"github.com/watchword-dev/watchword/server/internal/endpoint"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/revocation"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// routes are handlers by exact path; "/" has all others. It is no http.ServeMux because that
// answers a path such as //accesstoken with a redirect, which clients follow with their
// credential, before any handler is asked.
type routes map[string]http.Handler

func (m routes) Handle(path string, h http.Handler) { m[path] = h }

func (m routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, ok := m[r.URL.Path]
	// A path spelled otherwise than it is written here passes whatever in front looks at paths.
	if !ok || r.URL.EscapedPath() != r.URL.Path {
		h = m["/"]
	}
	h.ServeHTTP(w, r)
}

// public is what services reach. Where the issuer has a path, all of it answers below that path too.
func (s *Server) public() http.Handler {
	mux := routes{}
	base := endpoint.BasePath(s.cfg.Issuer)
	for _, e := range s.endpoints() {
		handle := s.stack.Handle
		if !slices.Contains(e.Methods, http.MethodPost) {
			handle = s.stack.HandleDocument
		}
		handler := handle(e.Path, e.Serve)
		for _, path := range e.Paths(base) {
			mux.Handle(path, handler)
		}
	}
	denyList := s.stack.HandleWaiting(revocation.DenyListPath, s.revoked.Wait, s.revoked.DenyList)
	mux.Handle(revocation.DenyListPath, denyList)
	mux.Handle(base+revocation.DenyListPath, denyList)
	mux.Handle("/", s.stack.Handle("/", func(http.ResponseWriter, *http.Request) error {
		return &web.Error{Status: http.StatusNotFound, Code: "not_found", Description: "there is nothing here; tokens are at POST " + endpoint.TokenPath + " and POST " + endpoint.AccessTokenPath + ", keys at GET " + endpoint.JWKSPath}
	}))
	return s.withStatusLists(base, mux)
}

// superTokens is what clients of the SuperTokens core reach.
func (s *Server) superTokens() http.Handler {
	handler := s.superTokensAPI.Handler()
	return s.stack.Handle("supertokens", func(w http.ResponseWriter, r *http.Request) error {
		handler.ServeHTTP(w, r)
		return nil
	})
}

// operators is what operators, probes and Prometheus reach.
func (s *Server) operators(address string) http.Handler {
	// Services that overload the public listener do not keep operators out.
	stack := s.stack.Apart(admin.WriteProblem, admin.MaxLarge)
	hosts := netaddr.NewHosts(append([]string{address}, s.cfg.Admin.Hosts...)...)
	metrics := promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{})
	mux := routes{}
	mux.Handle("/", admin.New(admin.Options{
		Directory:   s.directory,
		Lists:       s.db,
		Usage:       s.db,
		FlushUsage:  s.usage.Flush,
		MaxTokenTTL: s.cfg.Token.MaxTTL,
		MaxActors:   s.cfg.OAuth.MaxActors,
		Algorithm:   s.cfg.Signing.Algorithm,
		Keys:        s.ring,
		Issuer:      s.issuer,
		Audit:       s.log,
		Probes:      s.probes,
		Token:       func(token string) bool { return s.operatorToken.current().verify(token) },
		TrustToken:  s.trustOperator(),
		Trusts:      s.auth,
		Stack:       stack,
		Hosts:       hosts,
		Info:        s.info,
		Now:         s.now,
		PageKey:     s.shared.Derive(keys.PageTokenKey),
		Repeats:     s.db,
		AnswerKey:   s.shared.Derive(keys.AnswerKey),
	}))
	mux.Handle("/metrics", stack.Handle("/metrics", admin.Guard(hosts, func(w http.ResponseWriter, r *http.Request) error {
		metrics.ServeHTTP(w, r)
		return nil
	})))
	// Clients that ask for health often know no name: balancers send an address that was translated on the
	// way, or no Host at all.
	mux.Handle("/livez", stack.Handle("/livez", func(w http.ResponseWriter, _ *http.Request) error {
		web.WriteJSON(w, http.StatusOK, []byte("{\"status\":\"ok\"}\n"))
		return nil
	}))
	mux.Handle("/readyz", stack.Handle("/readyz", s.serveReady))
	return mux
}

func (s *Server) info() api.Info {
	database := "sqlite"
	if s.cfg.Database.Reveal() != "" {
		database = "postgres"
	}
	build := buildinfo.Read()
	return api.Info{
		Version:     build.Version,
		Commit:      build.Commit,
		Issuer:      s.cfg.Issuer,
		PlainIssuer: s.cfg.PlainIssuer,
		Revision:    s.directory.Snapshot().Revision(),
		Database:    database,
	}
}
