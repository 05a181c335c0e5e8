package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/examples/microservice/service"
)

// callee runs the demo's service of that name, or with --open one that takes anything, and has a
// variable of its name in capitals say where it is.
func callee(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: callee NAME [--open]")
	}
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Hello!") })
	if len(args) == 1 {
		s, err := service.New(service.Config{
			Name: args[0], Server: ts.Getenv("WATCHWORD_URL"), Credential: client.Static("it calls nobody"), Logger: slog.New(slog.DiscardHandler),
		})
		ts.Check(err)
		ts.Defer(func() { _ = s.Close() })
		h = s
	}
	listener := httptest.NewServer(h)
	ts.Defer(listener.Close)
	ts.Setenv(strings.ToUpper(args[0]), listener.URL)
}
