package app

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// The test binary is also the server that is killed: it serves the folder named by this
// variable, and prints where.
const serveEnv = "WWTEST_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveEnv); dir != "" {
		serveUntilKilled(dir)
		return
	}
	if name := os.Getenv(attackEnv); name != "" {
		attackUntilKilled(name)
		return
	}
	if os.Getenv(followersEnv) != "" {
		followUntilKilled()
		return
	}
	os.Exit(m.Run())
}

func serveUntilKilled(dir string) {
	if n, err := strconv.ParseUint(os.Getenv(serveEnv+"_FILES"), 10, 32); err == nil {
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n})
	}
	cfg := defaults()
	cfg.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg = inFolder(cfg, dir)
	cfg.Database = config.NewSecret(os.Getenv(serveEnv + "_DATABASE"))
	s, err := New(context.Background(), cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.URL(), s.AdminURL())
	_ = s.Run(context.Background())
}

// child starts that server in a process of its own.
func child(t *testing.T, cfg config.Config) (*server, *exec.Cmd) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+cfg.Data, serveEnv+"_DATABASE="+cfg.Database.Reveal())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	urls := strings.Fields(line)
	token, err := os.ReadFile(cfg.Admin.TokenFile)
	must(t, err)
	s := &server{t: t, cfg: cfg, url: urls[0], admin: urls[1] + "/admin/v1", token: strings.TrimSpace(string(token)), client: &http.Client{}}
	return s, cmd
}

// FLT-001, FLT-002: kill -9 while tokens are issued and rules change. WWTEST_KILLS says
// how often (8 when it says nothing).
func TestKillLosesNothingAcknowledged(t *testing.T) {
	onBothEngines(t, killAgainAndAgain)
}

func killAgainAndAgain(t *testing.T, cfg config.Config) {
	kills := 8
	if n, err := strconv.Atoi(os.Getenv("WWTEST_KILLS")); err == nil {
		kills = n
	}
	s := start(t, cfg)
	m1, _, _ := s.demo()
	must(t, s.stop())
	decisions := map[string]bool{}
	rule := true // whether m3 may call m2, as last acknowledged
	unsure := false
	for range kills {
		s, cmd := child(t, cfg)
		if got := s.allowed(t, "m3", "m2"); !unsure && got != rule && len(decisions) > 0 {
			t.Fatalf("the rule m3 -> m2 is %v after the kill, acknowledged was %v", got, rule)
		} else {
			rule = got
		}
		answered, lastRule, sure := s.loadUntilKilled(t, cmd, m1, rule)
		rule, unsure = lastRule, !sure
		for _, id := range answered {
			decisions[id] = true
		}
	}
	if len(decisions) < kills {
		t.Fatalf("only %d tokens were issued before %d kills", len(decisions), kills)
	}
	s = start(t, cfg) // and again it starts
	if a := s.ask(m1, `{"target":"m2"}`); a.status != 200 {
		t.Fatalf("after all kills: got %d %s", a.status, a.body)
	}
	must(t, s.stop())
	report, err := audit.VerifyDir(cfg.Audit.Dir, audit.Known{})
	if err != nil || report.Bad != nil {
		t.Fatalf("audit log: %v, %v", report.Bad, err)
	}
	recorded := auditText(t, cfg.Audit.Dir)
	for id := range decisions {
		if !strings.Contains(recorded, id) {
			t.Errorf("decision %s was answered and has no record", id)
		}
	}
}

// allowed asks the operator's API whether there is a rule.
func (s *server) allowed(t *testing.T, caller, target string) bool {
	t.Helper()
	a := s.do(s.request("GET", s.admin+"/rules/"+caller+"/"+target, "", "Authorization", "Bearer "+s.token))
	if a.status != 200 && a.status != 404 {
		t.Fatalf("read the rule: %d %s", a.status, a.body)
	}
	return a.status == 200
}

// loadUntilKilled asks for tokens and flips a rule, kills the server in the middle of it, and
// returns the decisions that were answered, the rule as last acknowledged, and whether no
// change of it was under way.
func (s *server) loadUntilKilled(t *testing.T, cmd *exec.Cmd, credential string, rule bool) (answered []string, last, sure bool) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				r := s.request("POST", s.url+"/accesstoken", `{"target":"m2"}`, "Authorization", "Bearer "+credential)
				resp, err := s.client.Do(r)
				if err != nil {
					return
				}
				resp.Body.Close()
				if resp.StatusCode == 200 {
					mu.Lock()
					answered = append(answered, resp.Header.Get(web.DecisionHeader))
					mu.Unlock()
				}
			}
		})
	}
	sure = true
	wg.Go(func() {
		for {
			method, body := "PUT", "{}"
			if rule {
				method, body = "DELETE", ""
			}
			resp, err := s.client.Do(s.request(method, s.admin+"/rules/m3/m2", body, "Authorization", "Bearer "+s.token))
			if err != nil {
				sure = false // it may or may not have been made
				return
			}
			resp.Body.Close()
			if resp.StatusCode < 300 {
				rule = !rule
			}
		}
	})
	<-time.After(time.Duration(50+rand.IntN(200)) * time.Millisecond)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed, and says so
	wg.Wait()
	return answered, rule, sure
}
