package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/examples/microservice/service"
	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/app"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/config"
)

// demoRules is the call map of the demo.
var demoRules = [][2]string{{"m1", "m1"}, {"m1", "m2"}, {"m2", "m1"}, {"m2", "m2"}, {"m3", "m1"}}

// demoService is one of the three services of the demo.
type demoService struct{ name, listen string }

// Demo makes the command "demo".
func Demo(c *base.CLI) *cobra.Command {
	services := []*demoService{{name: "m1"}, {name: "m2"}, {name: "m3"}}
	var data, listen, adminListen string
	var port uint16
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the server and three services that call each other",
		Long: `Runs the server and the services m1, m2 and m3 in this terminal, and prints commands to try: calls
that are allowed, calls that are not, and a service that uses a token which it received. m1 and m2
may call m1 and m2, and m3 may call m1.

All files are in a temporary folder, which is removed when you press Ctrl-C. With --data they are
in the folder that you name, and remain.

The server listens on port 8000, m1, m2 and m3 on 8001, 8002 and 8003, and the operator API is on
8010. To run a second demo, or if another program uses one of these ports, give another first port
with --port: with --port 9000 they are 9000, 9001, 9002, 9003 and 9010.`,
		Example: `  watchword demo
  watchword demo --port 9000
  watchword demo --data ./demo-data`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if data == "" {
				if data, err = os.MkdirTemp("", "watchword-demo-"); err != nil {
					return err
				}
				defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
			}
			at := func(given *string, offset int) {
				if *given == "" {
					*given = fmt.Sprintf("127.0.0.1:%d", int(port)+offset)
				}
			}
			at(&listen, 0)
			at(&adminListen, 10)
			for i, s := range services {
				at(&s.listen, 1+i)
			}
			loaded, err := config.Load(config.Sources{Flags: map[string]string{"data": data, "listen": listen, "admin-listen": adminListen, "log-level": "warn"}})
			if err != nil {
				return err
			}
			return demo(c, cmd.Context(), loaded.Config, services)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&data, "data", "", "data `folder`, which remains (default a temporary folder)")
	flags.Uint16Var(&port, "port", 8000, "first `port`, from which the ports of all listeners follow")
	flags.StringVar(&listen, "listen", "", "`address` of the public listener (default follows from --port)")
	flags.StringVar(&adminListen, "admin-listen", "", "`address` of the operator's listener (default follows from --port)")
	for _, s := range services {
		flags.StringVar(&s.listen, s.name+"-listen", "", "`address` of the service "+s.name+" (default follows from --port)")
	}
	return cmd
}

// demo runs all of it until ctx ends.
func demo(c *base.CLI, ctx context.Context, cfg config.Config, services []*demoService) error {
	logger := newLogger(c, cfg.Log).Logger
	server, err := app.New(ctx, cfg, logger)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error { return demoServices(c, ctx, group, cfg, server, services, logger) })
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	c.Say("The demo has ended.")
	return nil
}

// demoServices sets the server up as an operator would, starts the services, and prints the tour.
func demoServices(c *base.CLI, ctx context.Context, group *errgroup.Group, cfg config.Config, server *app.Server, services []*demoService, logger *slog.Logger) error {
	peers := map[string]string{}
	listeners := make([]net.Listener, len(services))
	for i, s := range services {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.listen)
		if netaddr.IsTaken(err) {
			return base.Next(fmt.Errorf("listen for service %s: the address %s is in use", s.name, s.listen), "Choose other ports, as in: watchword demo --port 9000")
		} else if err != nil {
			return fmt.Errorf("listen for service %s: %w", s.name, err)
		}
		listeners[i], peers[s.name] = l, "http://"+l.Addr().String()
	}
	credentials := filepath.Join(cfg.Data, "credentials")
	if err := demoSetUp(ctx, cfg, server, services, peers, credentials); err != nil {
		return err
	}
	for i, s := range services {
		handler, err := service.New(service.Config{
			Name: s.name, Server: server.URL(), Peers: peers, ExternalURL: peers[s.name], Logger: logger,
			Credential: client.File(filepath.Join(credentials, s.name+".jwt")),
		})
		if err != nil {
			return fmt.Errorf("start service %s: %w", s.name, err)
		}
		group.Go(func() error {
			defer func() { _ = handler.Close() }()
			return serveUntil(ctx, listeners[i], handler)
		})
	}
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return err
	}
	return c.Answer(tour(server.URL(), server.AdminURL(), peers, data))
}

// demoSetUp creates services, rules and credentials. In a folder that has them already, it only updates the addresses
// of the services.
func demoSetUp(ctx context.Context, cfg config.Config, server *app.Server, services []*demoService, peers map[string]string, credentials string) error {
	token, err := os.ReadFile(cfg.Admin.TokenFile)
	if err != nil {
		return fmt.Errorf("read the operator token: %w", err)
	}
	admin, err := operator.New(server.AdminURL(), strings.TrimSpace(string(token)))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(credentials, 0o700); err != nil {
		return err
	}
	for _, s := range services {
		probe := peers[s.name] + "/hello"
		if known, err := admin.Service(ctx, s.name); err == nil {
			if known.Probe != probe { // it listens elsewhere now
				if _, err := admin.UpdateService(ctx, s.name, 0, api.ServicePatch{Probe: &probe}); err != nil {
					return fmt.Errorf("update service %s: %w", s.name, err)
				}
			}
			continue
		}
		if _, err := admin.CreateService(ctx, api.NewService{Name: s.name, ServicePatch: api.ServicePatch{Description: new("a service of the demo"), Probe: &probe}}); err != nil {
			return fmt.Errorf("create service %s: %w", s.name, err)
		}
	}
	for _, r := range demoRules {
		if _, _, err := admin.PutRule(ctx, r[0], r[1], operator.AnyVersion, api.RuleTerms{}); err != nil {
			return fmt.Errorf("allow %s to call %s: %w", r[0], r[1], err)
		}
	}
	for _, s := range services {
		if err := demoCredential(ctx, admin, s.name, filepath.Join(credentials, s.name)); err != nil {
			return fmt.Errorf("credential of %s: %w", s.name, err)
		}
	}
	return nil
}

// demoCredential writes a credential for the service, and a file from which curl takes it, so
// that it is on no command line.
func demoCredential(ctx context.Context, admin *operator.Client, name, path string) error {
	if _, err := os.Stat(path + ".jwt"); err == nil {
		return nil
	}
	issued, err := admin.CreateCredential(ctx, name, api.NewCredential{Name: "demo"})
	if err != nil {
		return err
	}
	curl := fmt.Sprintf("silent\nshow-error\nheader = \"Content-Type: application/json\"\nheader = \"Authorization: Bearer %s\"\n", issued.Token)
	return errors.Join(
		os.WriteFile(path+".jwt", []byte(issued.Token+"\n"), 0o600),
		os.WriteFile(path+".curl", []byte(curl), 0o600),
	)
}

// serveUntil serves until ctx ends, then lets requests under way finish.
func serveUntil(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(c)
	})
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
