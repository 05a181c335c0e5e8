// Package app puts the server together and runs it: opens what must be open, in order, binds
// the listeners, and ends all of it in the reverse order. It decides nothing.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/logs"
	"github.com/watchword-dev/watchword/server/internal/once"
	"github.com/watchword-dev/watchword/server/internal/probe"
	"github.com/watchword-dev/watchword/server/internal/revocation"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
	"github.com/watchword-dev/watchword/server/internal/usage"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// Server is a server whose listeners are bound.
type Server struct {
	cfg    config.Config
	logger *slog.Logger
	clock
	registry *prometheus.Registry
	stack    *web.Stack

	db                *store.DB
	sealer            *keys.Sealer
	ring              *keys.Ring
	directory         *directory.Directory
	log               *audit.Log
	auth              *clientauth.Authenticator
	issuer            *issuer.Issuer
	shared            keys.Secret
	once              *once.Register
	revoked           *revocation.Publisher
	nonces            *dpop.Nonces
	usage             *usage.Recorder
	superTokensAPI    *supertokens.Interface // nil while it is off
	connectionsClosed *prometheus.CounterVec
	probes            *probe.Prober

	operatorToken *reloaded[operatorToken]
	trustToken    *reloaded[operatorToken] // nil: there is none
	reloading     []interface{ again() }   // what SIGHUP has read again
	listeners     []*listener
	draining      atomic.Bool

	shutdownTimeout time.Duration
	damaged         atomic.Pointer[error] // what checkStore found
	health          health
	hangups         <-chan os.Signal // nil: there are none
}

// Run serves until ctx ends, and returns nil when it ended in good order. What comes from hangups has it
// read files again.
func Run(ctx context.Context, cfg config.Config, logger *logs.Logger, hangups <-chan os.Signal) error {
	spareProcessor()
	ballast := newBallast()
	defer runtime.KeepAlive(ballast)
	s, err := New(ctx, cfg, logger.Logger)
	if err != nil {
		return err
	}
	s.countDroppedLines(logger)
	s.hangups = hangups
	return s.Run(ctx)
}

// New opens the database, the keys and the audit log, creating them on the first start, and
// binds the listeners. It serves nothing yet. When it fails, all it opened is closed.
func New(ctx context.Context, cfg config.Config, logger *slog.Logger) (*Server, error) {
	return newAt(ctx, cfg, logger, clock{time.Now, time.Now})
}

// clock is the time, as now has it, which somebody may set, and as it passes.
type clock struct{ now, passing func() time.Time }

// newAt is New on a machine with that clock.
func newAt(ctx context.Context, cfg config.Config, logger *slog.Logger, c clock) (_ *Server, err error) {
	s := &Server{cfg: cfg, logger: logger, clock: c, registry: newRegistry(), shutdownTimeout: shutdownTimeout}
	s.stack = web.NewStack(logger, s.registry, 0)
	s.connectionsClosed = countClosedConnections(s.registry)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for _, open := range []func(context.Context) error{
		s.openStore, s.openKeys, s.openDirectory, s.openAudit, s.openOperatorTokens, s.openSuperTokens, s.openRevocations, s.openIssuer, s.openProbes, s.listen,
	} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	s.registerGauges()
	return s, nil
}

func (s *Server) openStore(ctx context.Context) (err error) {
	// With PostgreSQL too there are files: the sealing key, the operator token, the audit log.
	if err := os.MkdirAll(s.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("create the data folder: %w", err)
	}
	s.db, err = store.Open(ctx, store.Options{DataDir: s.cfg.Data, DatabaseURL: s.cfg.Database.Reveal(), Now: s.now})
	return err
}

// openKeys reads the sealing key, or makes it when there is nothing yet that one sealed.
func (s *Server) openKeys(ctx context.Context) (err error) {
	_, version, err := s.db.LoadKeys(ctx)
	if err != nil {
		return err
	}
	if s.sealer, err = keys.NewSealer(s.cfg.Keys.SealingKeyFile, version == 0); err != nil {
		return err
	}
	s.ring = keys.NewRing(s.db, s.sealer, keys.Options{
		Lead:        s.cfg.Keys.PublishLead,
		RotateEvery: s.cfg.Keys.RotateEvery,
		MaxTokenTTL: s.cfg.Token.MaxTTL,
		Algorithm:   jose.Algorithm(s.cfg.Signing.Algorithm),
		Resealers:   []keys.Resealer{supertokens.Resealer{Store: s.db}, keys.SecretResealer{Store: s.db}},
		OnChange:    s.mayRevoke,
		Logger:      s.logger,
	})
	if err := s.ring.Load(ctx); err != nil {
		return err
	}
	s.shared, err = keys.Shared(ctx, s.db, s.sealer)
	return err
}

func (s *Server) openDirectory(ctx context.Context) error {
	o := directory.Options{
		MaxTokenTTL: s.cfg.Token.MaxTTL,
		Reserved:    []string{s.cfg.PlainIssuer, s.cfg.Issuer, issuer.ProbeName},
		Issuer:      s.cfg.Issuer,
		AuthMethods: api.NamesOf(api.AuthMethods()),
		GrantTypes:  api.NamesOf(api.GrantTypes()),
		Keys:        s.ring.Additions,
		OnKeys:      s.ring.Reload,
		OnChange:    s.mayRevoke,
		Now:         s.now,
		Passing:     s.passing,
		Logger:      s.logger,
		// The key ring writes too, and on PostgreSQL other replicas do. Polling is the floor under NOTIFY: half of
		// the second in which a change made elsewhere must be in force here.
		Poll: 500 * time.Millisecond,
	}
	if s.cfg.Database.Reveal() != "" {
		o.MaxStaleness = s.cfg.MaxStaleness
	}
	s.directory = directory.New(s.db, s.db, o)
	if err := s.directory.Load(ctx); err != nil {
		return err
	}
	for setting, own := range map[string]string{"plain_issuer": s.cfg.PlainIssuer, "issuer": s.cfg.Issuer} {
		if svc := s.directory.Snapshot().Owner(own); svc != nil {
			return fmt.Errorf("%s is %q, which is the name or an audience of the service %q, so tokens for the one would pass for those of the other: "+
				"set another %s; or start with the one before, and remove the audience, or delete the service and create it under another name", setting, own, svc.Name, setting)
		}
	}
	if err := s.directory.Begin(ctx, directory.Author{Actor: "server"}); err != nil {
		return err
	}
	// Loading leaves more garbage than directory: a server of a million rules gives half a
	// gigabyte back here.
	debug.FreeOSMemory()
	return nil
}

func (s *Server) openAudit(context.Context) (err error) {
	s.log, err = audit.Open(s.cfg.Audit.Dir, audit.Options{
		MaxSize:   s.cfg.Audit.MaxSize,
		Retention: s.cfg.Audit.Retention,
		Sign:      s.signCheckpoint,
		Now:       s.now,
		Logger:    s.logger,
	})
	return err
}

// checkpointType keeps a checkpoint of the audit log from passing for any token.
const checkpointType = "audit-checkpoint+jwt"

func (s *Server) signCheckpoint(payload []byte) (jws, keyID string, err error) {
	signer, err := s.ring.Signer(keys.UseAudit, jose.ES256)
	if err != nil {
		return "", "", err
	}
	jws, err = signer.Sign(checkpointType, payload)
	return jws, signer.ID(), err
}

func (s *Server) openSuperTokens(ctx context.Context) (err error) {
	c := s.cfg.SuperTokens
	if !c.Enabled() {
		return nil
	}
	var apiKeys []string
	for _, k := range c.APIKeys {
		apiKeys = append(apiKeys, k.Reveal())
	}
	s.superTokensAPI, err = supertokens.New(s.db, s.sealer, s.log, apiKeys, supertokens.Options{
		Apps: c.Apps, BasePath: c.BasePath, Server: s.cfg.PlainIssuer, Now: s.now, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	return s.superTokensAPI.Load(ctx)
}

func (s *Server) openIssuer(context.Context) (err error) {
	auth := clientauth.Options{
		PlainIssuer:   s.cfg.PlainIssuer,
		Issuer:        s.cfg.Issuer,
		TokenEndpoint: s.cfg.Issuer + "/oauth2/token",
		Certificates:  s.certificates(),
		Pepper:        s.shared.Derive(keys.ClientSecretPepper),
		JWKSNetworks:  s.cfg.OAuth.JWKSNetworks,
		Logger:        s.logger,
		Credentials:   func() *jose.KeySet { return s.ring.Verifiers(keys.UseCredential) },
		Access:        func() *jose.KeySet { return s.ring.Verifiers(keys.UseAccess) },
	}
	if s.superTokensAPI != nil && s.cfg.SuperTokens.TrustBootstrap {
		auth.Foreign = s.superTokensAPI.BootstrapKeys
	}
	if auth.ClientCAs, err = s.openClientCAs(); err != nil {
		return err
	}
	s.auth = clientauth.New(auth)
	s.once = once.New(s.db, once.Options{Logger: s.logger})
	s.usage = usage.NewRecorder(s.db, usage.Options{Now: s.now, Logger: s.logger})
	if s.nonces, err = dpop.NewNonces(s.shared.Derive(keys.DPoPNonceKey), 0); err != nil {
		return err
	}
	s.issuer = issuer.New(s.directory, s.ring, s.auth, s.once, countDecisions(s.log, s.registry), issuer.Options{
		PlainIssuer:  s.cfg.PlainIssuer,
		Issuer:       s.cfg.Issuer,
		MaxActors:    s.cfg.OAuth.MaxActors,
		Pepper:       auth.Pepper,
		Nonces:       s.nonces,
		Status:       s.place(),
		Count:        s.usage.Count,
		RequireNonce: s.cfg.OAuth.DPoPRequireNonce,
		TTL:          s.cfg.Token.TTL,
		Algorithm:    jose.Algorithm(s.cfg.Signing.Algorithm),
		ReuseWindow:  s.cfg.Token.ReuseWindow,
		Now:          s.now,
	})
	return nil
}

// URL is where services reach the server.
func (s *Server) URL() string { return s.listeners[0].URL() }

// AdminURL is where operators reach it.
func (s *Server) AdminURL() string { return s.listeners[1].URL() }

// Run serves until ctx ends, then drains: not ready at once, still serving for the
// configured time, every request that arrived answered. It returns nil after that.
func (s *Server) Run(ctx context.Context) error {
	defer s.close()
	// The loops outlive ctx, for requests are still answered while draining.
	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	var group errgroup.Group
	for _, run := range s.loops() {
		group.Go(func() error {
			if err := run(loops); err != nil {
				fail(err)
				return err
			}
			return nil
		})
	}
	s.awaitAudit(ctx)
	for _, l := range s.listeners {
		group.Go(func() error {
			if err := l.serve(); !errors.Is(err, http.ErrServerClosed) && !(s.draining.Load() && errors.Is(err, net.ErrClosed)) {
				fail(err)
				return fmt.Errorf("serve %s: %w", l.name, err)
			}
			return nil
		})
		s.logger.Info("listening", "for", l.name, "url", l.URL())
	}
	s.logger.Info("ready", "issuer", s.cfg.Issuer, "plain_issuer", s.cfg.PlainIssuer, "operator_token_file", s.cfg.Admin.TokenFile)
	for failed.Err() == nil {
		select {
		case <-failed.Done():
		case <-s.hangups:
			s.reload()
		}
	}
	s.shutdown(ctx)
	stopLoops()
	if err := group.Wait(); err != nil {
		return err
	}
	s.logger.Info("stopped")
	return nil
}

// awaitAudit holds back the listeners until the audit log has written its first record, so
// that the first requests are not refused for it. A disk that fails does not keep the server
// from saying so: after a moment it serves in any case.
func (s *Server) awaitAudit(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for s.log.Healthy() != nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
}

// spareProcessor has Go run on one processor more than there are. Under load the audit log is
// in fdatasync most of the time, and Go lets a system call keep its processor for a while
// before it gives it to others: with two processors that left a fifth of the machine idle.
func spareProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// newBallast is memory that is never touched, so it costs none, and that the garbage
// collector takes for part of the heap: it lets some 20 MiB pile up between two collections,
// where an idle server's few MiB alone would have it run dozens of times a second under load.
func newBallast() []byte { return make([]byte, 12<<20) }

func (s *Server) loops() []func(context.Context) error {
	loops := []func(context.Context) error{s.log.Run, s.ring.Run, s.directory.Run, s.once.Run, s.usage.Run, s.revoked.Run, s.checkStore, s.watchDatabase, s.warnOfEnds}
	if s.superTokensAPI != nil {
		loops = append(loops, s.superTokensAPI.Run)
	}
	if s.cfg.Probe.Every > 0 {
		loops = append(loops, s.probeAll)
	}
	return loops
}

// checkStore reads the whole database once, which opening it does only when it is small, and
// has the server not ready when it is damaged.
func (s *Server) checkStore(ctx context.Context) error {
	if err := s.db.Check(ctx); err != nil && ctx.Err() == nil {
		s.logger.Error("the database is damaged; stop the server and restore a backup", "error", err)
		s.damaged.Store(&err)
	}
	return nil
}

// shutdownTimeout is how long requests that are being answered may still take, and silenceTimeout how long a connection
// without one may take to send it.
const (
	shutdownTimeout = 8 * time.Second
	silenceTimeout  = time.Second
)

// stopAccepting lets no more connections come, and waits for the end of those that are open, for silenceTimeout at most:
// each ends with its next answer. Of a request that net/http reads after Shutdown began, it closes the connection without
// an answer, and a proxy that does not look at /readyz, such as nginx, sends requests until then and repeats no POST.
func (s *Server) stopAccepting() {
	for _, l := range s.listeners {
		_ = l.net.Close() // Shutdown closes it again
	}
	for until := time.Now().Add(silenceTimeout); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if !slices.ContainsFunc(s.listeners, func(l *listener) bool { return l.connections.count() > 0 }) {
			return
		}
	}
}

// shutdown ends all connections. What a client does, or does not do, is no failure of the server: that requests were cut off
// is logged.
func (s *Server) shutdown(ctx context.Context) {
	s.logger.Info("stopping", "drain", s.cfg.Shutdown.Drain)
	s.draining.Store(true)
	s.revoked.Drain()
	if s.cfg.Shutdown.Drain > 0 {
		time.Sleep(s.cfg.Shutdown.Drain)
		s.stopAccepting()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.shutdownTimeout)
	defer cancel()
	s.stack.Stop()
	var group sync.WaitGroup
	for _, l := range s.listeners {
		group.Go(func() {
			silent := time.AfterFunc(silenceTimeout, l.connections.closeIdle)
			defer silent.Stop()
			if err := l.server.Shutdown(ctx); err != nil {
				s.logger.Warn("requests that were still being answered were cut off", "for", l.name, "after", s.shutdownTimeout, "error", err)
				l.server.Close()
			}
		})
	}
	group.Wait()
}

// close closes what was opened, in the reverse order.
func (s *Server) close() {
	for _, l := range s.listeners {
		l.net.Close()
	}
	if s.log != nil {
		if err := s.log.Close(); err != nil {
			s.logger.Error("close audit log", "error", err)
		}
	}
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			s.logger.Error("close database", "error", err)
		}
	}
}
