//go:build unix

package keys_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/store"
)

// ROT-006: a child process walks through a key's life on a real database and is killed at
// every write of it: before the write, in the middle of it, and after it, before the process
// could take note. What is left is the state before or after, it can sign, and nothing was
// signed with a key that is not in it.

// writes of the child's walk: first keys, standing next key, activation, drop, revocation,
// another next key.
const writes = 6

type moment string

const (
	before moment = "before" // the new key is made, nothing is written
	during moment = "during" // from outside, while the write is under way
	after  moment = "after"  // written, not yet installed
)

func TestKilledProcessLeavesTheRingBeforeOrAfter(t *testing.T) {
	onEachEngine(t, func(t *testing.T, p place) {
		for _, at := range []moment{before, during, after} {
			for n := 1; n <= writes; n++ {
				t.Run(fmt.Sprintf("%s write %d", at, n), func(t *testing.T) { killAt(t, p.another(t), at, n) })
			}
		}
	})
}

func killAt(t *testing.T, p place, at moment, n int) {
	path := filepath.Join(t.TempDir(), "sealing-key")
	passed, signed := runChild(t, p, path, at, n)

	s := p.open(t)
	s.passed = passed
	records, version, err := s.LoadKeys(t.Context())
	must(t, err)
	if was, is := int64(n-1), int64(n); version != was && version != is || at == before && version != was || at == after && version != is {
		t.Fatalf("killed %s write %d, version is %d", at, n, version)
	}
	if signed != "" && !slices.ContainsFunc(records, func(k keys.Record) bool { return k.ID == signed }) {
		t.Errorf("signed with %s, which is not stored", signed)
	}
	active := map[keys.Use]int{}
	for _, k := range records {
		if k.State == keys.StateActive {
			active[k.Use]++
		}
	}
	for use, n := range active {
		if n != 1 {
			t.Errorf("%d active %s keys", n, use)
		}
	}
	if version > 0 && len(active) != 3 {
		t.Errorf("active keys are %v", active)
	}

	sealer, err := keys.NewSealer(path, version == 0)
	must(t, err)
	ring := keys.NewRing(s, sealer, keys.Options{})
	must(t, ring.Load(t.Context()))
	must(t, ring.StepOnce(t.Context()))
	signer, err := ring.Signer(keys.UseAccess, jose.ES256)
	must(t, err)
	if body, _, _ := ring.JWKS(); !bytes.Contains(body, []byte(signer.ID())) {
		t.Error("the key that signs is not published")
	}
	if got := states(ring, keys.UseAccess, jose.ES256); got[keys.StateActive] != 1 || got[keys.StateNext] != 1 {
		t.Errorf("after a restart the ring has %v", got)
	}
}

// runChild answers how far the child's clock was and the last key it signed with.
func runChild(t *testing.T, p place, path string, at moment, n int) (passed time.Duration, signed string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), "KEYS_TEST_DIR="+p.options.DataDir, "KEYS_TEST_URL="+p.options.DatabaseURL,
		"KEYS_TEST_SEALING_KEY="+path, "KEYS_TEST_AT="+string(at), "KEYS_TEST_WRITE="+strconv.Itoa(n))
	var stderr bytes.Buffer
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "passed":
			passed, err = time.ParseDuration(rest)
			must(t, err)
		case "signed":
			signed = rest
		case "writing":
			_ = child.Process.Kill() // it may have ended itself
		}
	}
	err = child.Wait()
	if child.ProcessState.String() != "signal: killed" {
		t.Fatalf("child ended with %v: %s", err, stderr.String())
	}
	return passed, signed
}

// killer is a store that is killed at one of its writes.
type killer struct {
	*later
	at     moment
	n, now int
}

func (k *killer) SaveKeys(ctx context.Context, version int64, put []keys.Record, drop []string, c directory.Change) error {
	k.now++
	if k.now == k.n {
		switch k.at {
		case before:
			suicide()
		case during:
			fmt.Println("writing")
		}
	}
	err := k.later.SaveKeys(ctx, version, put, drop, c)
	if err == nil && k.now == k.n {
		suicide() // also when the kill from outside comes too late
	}
	return err
}

// suicide is kill -9: no deferred call runs, nothing is flushed.
func suicide() {
	if self, err := os.FindProcess(os.Getpid()); err != nil || self.Kill() != nil {
		panic("cannot kill this process")
	}
	select {}
}

// childMain is the process to be killed.
func childMain() {
	path := os.Getenv("KEYS_TEST_SEALING_KEY")
	if path == "" {
		return
	}
	if err := walk(context.Background(), path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func walk(ctx context.Context, path string) error {
	db, err := store.Open(ctx, store.Options{DataDir: os.Getenv("KEYS_TEST_DIR"), DatabaseURL: os.Getenv("KEYS_TEST_URL")})
	if err != nil {
		return err
	}
	sealer, err := keys.NewSealer(path, true)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(os.Getenv("KEYS_TEST_WRITE"))
	if err != nil {
		return err
	}
	s := &killer{later: &later{DB: db}, at: moment(os.Getenv("KEYS_TEST_AT")), n: n}
	ring := keys.NewRing(s, sealer, keys.Options{})
	pass := func(d time.Duration) func(context.Context) error {
		return func(ctx context.Context) error {
			s.passed += d
			fmt.Println("passed", s.passed)
			return ring.StepOnce(ctx)
		}
	}
	for _, step := range []func(context.Context) error{
		ring.Load,
		pass(0),
		pass(keys.DefaultRotateEvery),
		pass(2 * keys.DefaultMaxTokenTTL),
		func(ctx context.Context) error {
			signer, err := ring.Signer(keys.UseAccess, jose.ES256)
			if err != nil {
				return err
			}
			_, err = ring.Revoke(ctx, operator, signer.ID())
			return err
		},
		pass(0),
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if err := sign(ring); err != nil {
			return err
		}
	}
	if s.now != writes {
		return fmt.Errorf("wrote %d times, the test kills at each of %d", s.now, writes)
	}
	return db.Close()
}

// sign signs, and only with a key that is published.
func sign(ring *keys.Ring) error {
	signer, err := ring.Signer(keys.UseAccess, jose.ES256)
	if err != nil {
		return err
	}
	if _, err := signer.Sign("at+jwt", []byte(`{}`)); err != nil {
		return err
	}
	if body, _, _ := ring.JWKS(); !bytes.Contains(body, []byte(signer.ID())) {
		return fmt.Errorf("signs with %s, which is not published", signer.ID())
	}
	fmt.Println("signed", signer.ID())
	return nil
}
