package app

import (
	"context"
	"crypto/ecdsa"
	"database/sql"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
	"github.com/watchword-dev/watchword/verify"
)

// TestWhatIsWithdrawnStaysWithdrawn takes every way in which something is withdrawn and every way in which it could come
// back (the area "what is withdrawn stays withdrawn" of security/faults.yaml). Withdrawals and comebacks are tables, and
// each pair is a subtest, on SQLite and on two replicas on PostgreSQL. A pair that makes no sense is skipped with its
// reason, which is in the table of withdrawals; a pair with neither fails. Of its own it found F110, F111 and F112.
func TestWhatIsWithdrawnStaysWithdrawn(t *testing.T) {
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		t.Run(engine, func(t *testing.T) {
			s := newSite(t, engine)
			for _, back := range comebacks() {
				t.Run(back.name, func(t *testing.T) { s.walk(t, back) })
			}
		})
	}
}

// comeback is a way in which what was withdrawn could come back.
type comeback struct {
	name string
	// before is called when all is made and nothing withdrawn yet. Nil: nothing is to be prepared.
	before func(*site)
	// happen is what happens to the whole site. Nil: each withdrawal has what happens to it, in its own row.
	happen func(*site)
	// after ends what happen began. Nil: it ended.
	after func(*site)
}

func comebacks() []comeback {
	return []comeback{
		{name: "made again"},
		{name: "moved"},
		{name: "renamed"},
		{name: "restored", happen: (*site).restore},
		{name: "an older replica", before: (*site).writeAsNewer, after: (*site).writeAsEver},
		{name: "a replayed list", before: (*site).recordLists, happen: (*site).replayLists, after: (*site).answerNewLists},
		{name: "a restart in between", happen: (*site).restart},
		{name: "clock forward and back", happen: (*site).clockForwardAndBack},
		{name: "clock back and forward", before: (*site).clockBack, after: (*site).clockRight},
		{name: "withdrawn while the clock is ahead", before: (*site).clockAhead, after: (*site).clockRight},
		{name: "a shortened lifetime", happen: (*site).shortenLifetimes, after: (*site).usualLifetimes},
		{name: "withdrawn under a shortened lifetime", before: (*site).shortenLifetimes, after: (*site).usualLifetimes},
		// The last: the longest lifetime there was counts from then on.
		{name: "a lengthened lifetime", happen: (*site).lengthenLifetimes, after: (*site).usualLifetimes},
	}
}

// withdrawal is a way in which something is withdrawn.
type withdrawal struct {
	name string
	// set makes what will be withdrawn, with names of the cell's own, and fills in the cell's uses.
	set func(*cell)
	// withdraw withdraws it. Nil: turn does.
	withdraw func(*cell)
	// turn is the change of the configuration that withdraws it.
	turn func(*config.Config)
	// back has what happens to it alone, by the name of the comeback.
	back map[string]func(*cell)
	// senseless says of a comeback why there is no such thing here.
	senseless map[string]string
}

// use is what somebody can do as long as it is not withdrawn.
type use struct {
	what  string
	works func(*seen) bool
}

// cell is one withdrawal and one comeback.
type cell struct {
	*site
	w       *withdrawal
	address string
	owner   string // of its call map files
	// Services of the cell: the target may exchange its tokens for ones for other.
	caller, target, other string
	token                 string // of caller for target
	credential            string // id
	certificate           string // thumbprint
	assertion             func() string
	platformKey           *ecdsa.PrivateKey // of the platform that vouches for the caller
	later                 []use             // by others than those who have it
	uses                  []use
	followers             []*verify.Verifier // those of the site, or its own
	views                 []*seen            // one for each replica
}

// seen is a replica as the cell sees it, and the verifier that follows it.
type seen struct {
	*world
	verifier *verify.Verifier
}

// site is one server on SQLite, or two on one PostgreSQL, with verifiers that follow them.
type site struct {
	t         *testing.T
	engine    string
	ahead     atomic.Int64 // of the servers' clock
	passed    atomic.Int64 // that the tests had pass
	cfgs      []config.Config
	servers   []*server
	fronts    []*front
	verifiers []*verify.Verifier
	database  *sql.DB // PostgreSQL only
	control   *cell
	cells     []*cell // of the walk
	number    int
}

// front is where verifiers ask: it passes their requests to a server that may come back at another address, or
// answers them with an old deny-list.
type front struct {
	url      string
	to       atomic.Pointer[url.URL]
	old      atomic.Pointer[string]
	recorded string
	replayed atomic.Int64
}

func newFront(t *testing.T) *front {
	f := &front{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(f.to.Load()) }, ErrorLog: log.New(io.Discard, "", 0),
		Transport: &http.Transport{DisableKeepAlives: true},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if old := f.old.Load(); old != nil && r.URL.Path == "/oauth2/denylist" {
			w.Header().Set("Content-Type", "application/jwt")
			_, _ = io.WriteString(w, *old)
			f.replayed.Add(1)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	f.url = srv.URL
	return f
}

func newSite(t *testing.T, engine string) *site {
	s := &site{t: t, engine: engine, cfgs: []config.Config{oauthConfig(t)}}
	if engine == "PostgreSQL" {
		s.cfgs = append(s.cfgs, oauthConfig(t))
		address := pgtest.Start(t)
		var err error
		if s.database, err = sql.Open("pgx", address); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.database.Close() })
		for i := range s.cfgs {
			s.cfgs[i].Database = config.NewSecret(address)
			s.cfgs[i].Keys.SealingKeyFile = s.cfgs[0].Keys.SealingKeyFile
		}
	}
	for i := range s.cfgs {
		c := &s.cfgs[i]
		c.Token.TTL, c.Token.MaxTTL, c.Token.ReuseWindow = 6*time.Hour, 24*time.Hour, time.Minute
		c.SuperTokens.APIKeys = []config.Secret{config.NewSecret(superTokensKey)}
		c.SuperTokens.TrustBootstrap = true
		s.fronts = append(s.fronts, newFront(t))
	}
	s.servers = make([]*server, len(s.cfgs))
	s.start(s.cfgs)
	for _, f := range s.fronts {
		s.verifiers = append(s.verifiers, s.newVerifier(f))
	}
	s.control = s.newCell(&withdrawal{name: "control", set: setUp}, "")
	s.control.set()
	return s
}

const superTokensKey = "an-api-key-of-enough-characters-1"

// clock is that of the servers. Verifiers have the right one.
func (s *site) clock() time.Time { return time.Now().Round(0).Add(time.Duration(s.ahead.Load())) }

func (s *site) passing() time.Time { return time.Now().Add(time.Duration(s.passed.Load())) }

func (s *site) start(cfgs []config.Config) {
	for i, cfg := range cfgs {
		s.servers[i] = startAt(s.t, cfg, clock{s.clock, s.passing}, func(*Server) {})
		to, err := url.Parse(s.servers[i].url)
		if err != nil {
			s.t.Fatal(err)
		}
		s.fronts[i].to.Store(to)
	}
}

func (s *site) stop() {
	for _, srv := range s.servers {
		if err := srv.stop(); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *site) restart() {
	s.stop()
	s.start(s.cfgs)
}

// with restarts the servers, on other settings.
func (s *site) with(edit func(*config.Config)) {
	changed := slices.Clone(s.cfgs)
	for i := range changed {
		edit(&changed[i])
	}
	s.stop()
	s.start(changed)
}

// newVerifier follows the server behind f, for the targets of all cells.
func (s *site) newVerifier(f *front) *verify.Verifier {
	// One that begins while the server does not answer has no list, and no revocations.
	s.soon(s.t, "a deny-list", func() bool {
		resp, err := http.Get(f.url + "/oauth2/denylist")
		if err != nil {
			s.t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	audiences := []string{targetOf("control", "")}
	for _, w := range withdrawals() {
		for _, b := range comebacks() {
			audiences = append(audiences, targetOf(w.name, b.name))
		}
	}
	v, err := verify.New(s.t.Context(), verify.Config{
		Issuer: issuerURL, Audience: "of-all-cells", Audiences: audiences, JWKSURL: f.url + "/.well-known/jwks.json",
		Revocations: verify.Revocations{URL: f.url + "/oauth2/denylist"}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { v.Close() })
	return v
}

func slug(name string) string { return strings.ReplaceAll(strings.ToLower(name), " ", "-") }

func targetOf(withdrawal, comeback string) string {
	return slug("target of " + withdrawal + " " + comeback)
}

func (s *site) newCell(w *withdrawal, back string) *cell {
	c := &cell{site: s, w: w, address: nextAddress(), followers: s.verifiers}
	c.owner = "cell-" + strings.ReplaceAll(c.address, ".", "-")
	c.caller, c.target, c.other = slug("caller of "+w.name+" "+back), targetOf(w.name, back), slug("other of "+w.name+" "+back)
	return c
}

func (c *cell) set() { c.w.set(c) }

// follow has the cell followed by verifiers of its own, which begin now.
func (c *cell) follow() {
	c.followers, c.views = nil, nil
	for _, f := range c.fronts {
		c.followers = append(c.followers, c.newVerifier(f))
	}
}

// on is a replica, as the cell sees it.
func (c *cell) on(i int) *seen {
	for len(c.views) <= i {
		c.views = append(c.views, nil)
	}
	if v := c.views[i]; v == nil || v.s != c.servers[i].s {
		c.views[i] = &seen{&world{server: c.servers[i].from(c.t, c.address), keys: map[string]*ecdsa.PrivateKey{}}, c.followers[i]}
	}
	return c.views[i]
}

// first is the replica where things are made and withdrawn.
func (c *cell) first() *seen { return c.on(0) }

// soon waits until it is so, a minute at most.
func (s *site) soon(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within a minute", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// working is what of the uses works on some replica.
func (c *cell) working() (all []string) {
	for _, u := range c.uses {
		for i := range c.servers {
			if u.works(c.on(i)) {
				all = append(all, fmt.Sprintf("%s, on replica %d", u.what, i))
			}
		}
	}
	return all
}

// sure waits until everything works, or, if it is withdrawn, until nothing does.
func (c *cell) sure(t *testing.T, withdrawn bool) {
	t.Helper()
	for _, u := range c.uses {
		for i := range c.servers {
			what := fmt.Sprintf("%s: %s, on replica %d", c.w.name, u.what, i)
			if withdrawn {
				what += ", is refused"
			}
			c.soon(t, what, func() bool { return u.works(c.on(i)) != withdrawn })
		}
	}
}

// caughtUp revokes a token and waits until everybody knows: then everybody knows what came before, too.
func (s *site) caughtUp(t *testing.T) {
	t.Helper()
	s.number++
	mark := s.newCell(&withdrawal{name: "control"}, "")
	mark.caller = fmt.Sprintf("mark-%d", s.number)
	mark.first().service(mark.caller)
	mark.first().addSecret(mark.caller, secretOf(mark.caller))
	mark.first().rule(mark.caller, mark.target, directory.NewRule{})
	token := mark.first().get(mark.caller, mark.target)
	mark.uses = []use{verifies(token), introspects(mark.target, token)}
	mark.sure(t, false)
	mark.first().operate("POST", "/revocations", `{"token":"`+token+`"}`)
	mark.sure(t, true)
	s.control.sure(t, false) // what was not withdrawn goes on to work
}

func (s *site) walk(t *testing.T, back comeback) {
	var cells []*cell
	var turns []func(*config.Config)
	for _, w := range withdrawals() {
		why, senseless := w.senseless[back.name]
		if why == "" && back.name == "an older replica" && len(s.cfgs) == 1 {
			why, senseless = "one process has an SQLite database", true
		}
		own := w.back[back.name]
		switch {
		case senseless:
			t.Run(w.name, func(t *testing.T) { t.Log("makes no sense: " + why) })
			continue
		case own == nil && back.happen == nil && back.before == nil:
			t.Run(w.name, func(t *testing.T) {
				t.Errorf("the row of %q has neither a way to be %s, nor a reason why there is none", w.name, back.name)
			})
			continue
		}
		c := s.newCell(&w, back.name)
		c.set()
		cells = append(cells, c)
		if w.turn != nil {
			turns = append(turns, w.turn)
		}
	}
	if s.cells = cells; len(cells) == 0 {
		return
	}
	for _, c := range cells {
		c.sure(t, false)
	}
	if back.before != nil {
		back.before(s)
	}
	for _, c := range cells {
		if c.w.withdraw != nil {
			c.w.withdraw(c)
		}
	}
	usual := s.cfgs
	defer func() {
		s.present()
		if len(turns) > 0 {
			s.cfgs = usual
			s.restart()
		}
	}()
	if len(turns) > 0 {
		s.cfgs = slices.Clone(s.cfgs)
		for i := range s.cfgs {
			for _, turn := range turns {
				turn(&s.cfgs[i])
			}
		}
		s.restart()
	}
	for _, c := range cells {
		c.sure(t, true)
	}
	if back.happen != nil {
		back.happen(s)
	}
	// A second passes, since some times are of whole seconds.
	s.ahead.Add(int64(time.Second))
	came := map[*cell][]string{}
	look := func() {
		for _, c := range cells {
			came[c] = append(came[c], c.working()...)
		}
	}
	for _, c := range cells {
		if own := c.w.back[back.name]; own != nil {
			own(c)
		}
	}
	look()
	if back.after != nil {
		back.after(s)
		look()
		s.present()
	}
	s.caughtUp(t)
	look()
	for _, c := range cells {
		t.Run(c.w.name, func(t *testing.T) {
			for _, what := range slices.Compact(came[c]) {
				t.Errorf("%s was withdrawn, and then %s: %s works again", c.w.name, back.name, what)
			}
		})
	}
}

// restore puts the database back to a backup that was made after the withdrawal, but not after other changes: on
// SQLite with the server stopped, on PostgreSQL below servers that run.
func (s *site) restore() {
	put := s.backup()
	for range 3 { // so that revisions are higher than they will be
		s.caughtUp(s.t)
	}
	put()
}

func (s *site) backup() (restore func()) {
	t := s.t
	t.Helper()
	if s.database == nil {
		copied := filepath.Join(t.TempDir(), "backup")
		s.stop()
		copyDatabase(t, s.cfgs[0].Data, copied)
		s.start(s.cfgs)
		return func() {
			s.stop()
			copyDatabase(t, copied, s.cfgs[0].Data)
			s.start(s.cfgs)
		}
	}
	tables := s.tables()
	s.exec(`DROP SCHEMA IF EXISTS backup CASCADE`, `CREATE SCHEMA backup`)
	var keep []string
	put := []string{`SET LOCAL session_replication_role = replica`} // or tables would delete what others have already
	for _, table := range tables {
		keep = append(keep, `CREATE TABLE backup.`+table+` AS TABLE public.`+table)
		put = append(put, `DELETE FROM public.`+table, `INSERT INTO public.`+table+` SELECT * FROM backup.`+table)
	}
	s.exec(keep...)
	return func() { s.exec(put...) }
}

func copyDatabase(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"watchword.db", "watchword.db-wal", "watchword.db-shm"} {
		raw, err := os.ReadFile(filepath.Join(from, name))
		if os.IsNotExist(err) {
			if err = os.Remove(filepath.Join(to, name)); os.IsNotExist(err) {
				err = nil
			}
		} else if err == nil {
			err = os.WriteFile(filepath.Join(to, name), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (s *site) tables() (all []string) {
	rows, err := s.database.QueryContext(s.t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, name)
	}
	if err := rows.Err(); err != nil || len(all) == 0 {
		s.t.Fatalf("the tables are %v: %v", all, err)
	}
	return all
}

// exec runs statements in one transaction, again where it met one of the servers.
func (s *site) exec(statements ...string) {
	s.t.Helper()
	s.soon(s.t, "run SQL", func() bool {
		tx, err := s.database.BeginTx(s.t.Context(), nil)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, text := range statements {
			if _, err = tx.ExecContext(s.t.Context(), text); err != nil {
				break
			}
		}
		if err == nil {
			err = tx.Commit()
		} else {
			_ = tx.Rollback()
		}
		if err != nil && !strings.Contains(err.Error(), "deadlock") && !strings.Contains(err.Error(), "serialize") {
			s.t.Fatal(err)
		}
		return err == nil
	})
}

// writeAsNewer has changes written as by a newer version, so that both replicas are older ones, which do not know what
// it is that changed.
func (s *site) writeAsNewer() {
	s.exec(`CREATE FUNCTION as_newer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.subject := 'newer/' || NEW.subject; RETURN NEW; END $$`,
		`CREATE TRIGGER as_newer BEFORE INSERT ON changes FOR EACH ROW EXECUTE FUNCTION as_newer()`)
}

func (s *site) writeAsEver() {
	s.exec(`DROP TRIGGER as_newer ON changes`, `DROP FUNCTION as_newer`)
}

// shortenLifetimes: what was issued before lives longer than what can be issued now, and its revocation has to as well.
func (s *site) shortenLifetimes() {
	s.with(func(c *config.Config) { c.Token.TTL, c.Token.MaxTTL = time.Minute, 5*time.Minute })
}

func (s *site) lengthenLifetimes() {
	s.with(func(c *config.Config) { c.Token.TTL, c.Token.MaxTTL = 12*time.Hour, 48*time.Hour })
}

// usualLifetimes: after some hours, what was issued at first still lives.
func (s *site) usualLifetimes() {
	s.pass(3 * time.Hour)
	s.restart()
	s.forget()
}

// present takes back what passed and how the clock was set, together, so that the next comeback begins as the first.
func (s *site) present() {
	s.ahead.Store(0)
	s.passed.Store(0)
}

// pass has time pass for the servers, and for the clock that does not follow a wrong one.
func (s *site) pass(d time.Duration) {
	s.ahead.Add(int64(d))
	s.passed.Add(int64(d))
	s.forget()
	s.followAnew()
}

// followAnew puts new verifiers in the place of those that there are: in a few minutes they would have fetched the key
// set again, and they do not go by the clock of the test.
func (s *site) followAnew() {
	for i, f := range s.fronts {
		s.verifiers[i].Close()
		s.verifiers[i] = s.newVerifier(f)
	}
	for _, c := range append(s.cells, s.control) {
		c.followers, c.views = s.verifiers, nil
	}
}

// forget has the servers forget what ended, as they do each minute.
func (s *site) forget() {
	for _, srv := range s.servers {
		if err := srv.s.directory.Forget(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// clockForwardAndBack: while the clock was ahead, everything that was issued had ended.
func (s *site) clockForwardAndBack() {
	s.ahead.Store(int64(30 * time.Hour))
	s.forget()
	s.restart()
	s.forget()
	s.ahead.Store(0)
	s.forget()
}

// clockBack: what is withdrawn while the clock is behind is withdrawn for as long as by the right one. Behind by more
// than a deny-list is good for, verifiers would take no list.
func (s *site) clockBack() { s.ahead.Store(-int64(20 * time.Hour)) }

// clockAhead: while the clock is ahead, what is withdrawn had ended.
func (s *site) clockAhead() { s.ahead.Store(int64(20 * time.Hour)) }

func (s *site) clockRight() {
	s.ahead.Store(0)
	s.pass(5*time.Hour + 30*time.Minute) // tokens live for six
}

// recordLists and replayLists: somebody between the verifiers and the server answers a list from before.
func (s *site) recordLists() {
	for _, f := range s.fronts {
		resp, err := http.Get(f.url + "/oauth2/denylist")
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			s.t.Fatalf("got %s: %v", resp.Status, err)
		}
		f.recorded = string(body)
	}
}

func (s *site) replayLists() {
	for _, f := range s.fronts {
		f.replayed.Store(0)
		f.old.Store(&f.recorded)
	}
	// What is held is answered when something changes.
	s.control.first().operate("POST", "/revocations", `{"jti":"`+directory.RandomID()+`"}`)
	for _, f := range s.fronts {
		s.soon(s.t, "the old list is answered", func() bool { return f.replayed.Load() >= 3 })
	}
}

func (s *site) answerNewLists() {
	for _, f := range s.fronts {
		f.old.Store(nil)
	}
}
