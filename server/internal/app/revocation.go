package app

import (
	"context"
	"net/http"
	"strings"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/revocation"
)

// openRevocations makes what tells verifiers of what was revoked.
func (s *Server) openRevocations(context.Context) error {
	s.revoked = revocation.New(s.directory, s.ring, revocation.Options{
		Issuer:      s.cfg.Issuer,
		PlainIssuer: s.cfg.PlainIssuer,
		Algorithm:   jose.Algorithm(s.cfg.Signing.Algorithm),
		StatusKey:   s.shared.Derive(keys.StatusListKey),
		Now:         s.now,
		Logger:      s.logger,
	})
	return s.revoked.Load()
}

// mayRevoke is called whenever the directory or the key ring changed.
func (s *Server) mayRevoke() {
	if s.revoked != nil { // while all of it is being opened
		s.revoked.Changed()
	}
}

// place gives tokens a place in a status list, if they are to have one.
func (s *Server) place() func(deps []string) (string, int64) {
	if !s.cfg.OAuth.StatusList {
		return nil
	}
	return s.revoked.Place
}

// withStatusLists answers what is below revocation.StatusPath, and leaves the rest to h. Tokens
// may name lists that were made before the setting was turned off.
func (s *Server) withStatusLists(base string, h http.Handler) http.Handler {
	lists := s.stack.Handle(revocation.StatusPath, func(w http.ResponseWriter, r *http.Request) error {
		_, list, _ := strings.Cut(r.URL.Path, revocation.StatusPath)
		return s.revoked.StatusList(w, r, list)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Path; strings.HasPrefix(p, revocation.StatusPath) || strings.HasPrefix(p, base+revocation.StatusPath) {
			lists.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}
