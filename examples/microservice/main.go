// Command microservice runs one service of the demo on a loopback address:
//
//	go run ./examples/microservice m1
//
// m1, m2 and m3 listen on ports 8001, 8002 and 8003; another name needs --listen. Package service describes what
// the service does, and why it listens on loopback addresses only.
//
// The service authenticates with a bootstrap credential or, with --token-file or WATCHWORD_TOKEN_FILE, with the token
// that the platform that runs it writes into that file:
//
//	WATCHWORD_URL=https://auth.example.com WATCHWORD_TOKEN_FILE=/var/run/secrets/watchword/token microservice m1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/examples/microservice/service"
	"github.com/watchword-dev/watchword/internal/netaddr"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "microservice:", err)
		}
		os.Exit(1)
	}
}

type options struct {
	name, listen              string
	credentialFile, tokenFile string // the former is not used if the latter is set
	service                   service.Config
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	o, err := parse(args, getenv, out)
	if err != nil {
		return err
	}
	if err := o.authenticate(ctx); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if netaddr.IsTaken(err) {
		return fmt.Errorf("address %s is taken; choose another with --listen 127.0.0.1:PORT", o.listen)
	} else if err != nil {
		return err
	}
	o.service.ExternalURL = "http://" + l.Addr().String()
	s, err := service.New(o.service)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { _ = s.Close() }() // the program ends anyway
	_, _ = fmt.Fprintf(out, "%s listens on http://%s\n", o.name, l.Addr())
	return serve(ctx, l, s)
}

// authenticate chooses how the service authenticates, and reads the file once to report a mistake at the start.
func (o *options) authenticate(ctx context.Context) error {
	if o.tokenFile != "" {
		o.service.Platform = client.TokenFile(o.tokenFile)
		_, err := o.service.Platform.Token(ctx, o.service.Server)
		return err
	}
	o.service.Credential = client.File(o.credentialFile)
	if _, err := o.service.Credential.Credential(ctx); err != nil {
		return fmt.Errorf("%w\nCreate one with: watchword credential create", err)
	}
	return nil
}

// serve answers until ctx ends, and then lets the current requests finish.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return srv.Shutdown(ctx)
}

func parse(args []string, getenv func(string) string, out io.Writer) (options, error) {
	o := options{service: service.Config{Server: getenv("WATCHWORD_URL"), Peers: service.DefaultPeers()}}
	flags := flag.NewFlagSet("microservice", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		_, _ = fmt.Fprintln(out, "usage: microservice NAME [flags]")
		flags.PrintDefaults()
	}
	flags.StringVar(&o.listen, "listen", "", "loopback `address` to listen on; m1 to m3 have one by default")
	flags.StringVar(&o.credentialFile, "credential-file", "", "`file` with the service's credential (WATCHWORD_CREDENTIAL_FILE; default watchword-data/credentials/NAME.jwt)")
	flags.StringVar(&o.tokenFile, "token-file", "", "`file` into which the platform writes the token of this process, instead of a credential (WATCHWORD_TOKEN_FILE)")
	flags.StringVar(&o.service.Server, "server", o.service.Server, "`URL` of the authorization server (WATCHWORD_URL; default http://localhost:8000)")
	flags.Func("peer", "where another service is, as `NAME=URL`; may be repeated", func(s string) error {
		name, peer, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return errors.New("want NAME=URL")
		}
		o.service.Peers[name] = peer
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() == 0 {
		return o, errors.New("the name of the service is missing, as in: microservice m1")
	}
	o.name = flags.Arg(0)
	if err := flags.Parse(flags.Args()[1:]); err != nil { // flags may follow the name
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, o.complete(getenv)
}

// complete sets the options that depend on the name and on each other.
func (o *options) complete(getenv func(string) string) error {
	o.service.Name = o.name
	switch {
	case o.credentialFile != "" && o.tokenFile != "":
		return errors.New("--credential-file and --token-file are both set; set one of them")
	case o.credentialFile == "" && o.tokenFile == "":
		o.credentialFile, o.tokenFile = getenv("WATCHWORD_CREDENTIAL_FILE"), getenv("WATCHWORD_TOKEN_FILE")
	}
	if o.listen == "" {
		u, err := url.Parse(service.DefaultPeers()[o.name])
		if err != nil || u.Host == "" {
			return fmt.Errorf("no default port for %q; choose one with --listen 127.0.0.1:PORT", o.name)
		}
		o.listen = u.Host
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return fmt.Errorf("--listen %s: want an address like 127.0.0.1:8001", o.listen)
	}
	if !netaddr.IsLoopback(host) {
		return fmt.Errorf("--listen %s: /query answers anybody, so the demo listens on loopback addresses only, such as 127.0.0.1:8001", o.listen)
	}
	if o.credentialFile == "" && o.tokenFile == "" {
		if strings.ContainsAny(o.name, `/\`) {
			return fmt.Errorf("%q is not a service's name", o.name)
		}
		o.credentialFile = filepath.Join("watchword-data", "credentials", o.name+".jwt")
	}
	return nil
}
