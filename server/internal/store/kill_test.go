package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

const childDir = "WATCHWORD_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeForever(dir))
		os.Exit(1)
	}
	if dir := os.Getenv(onceChildDir); dir != "" {
		fmt.Fprintln(os.Stderr, useForever(dir))
		os.Exit(1)
	}
	if dir := os.Getenv(fullDiskDir); dir != "" {
		if err := onFullDisk(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(map[bool]int{true: 3, false: 1}[errors.Is(err, errNoMount)])
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// writeForever prints the uid of each service once it and its rule are stored, and a trust that has a credential of it is
// made and deleted.
func writeForever(dir string) error {
	ctx := context.Background()
	db, err := Open(ctx, Options{DataDir: dir})
	if err != nil {
		return err
	}
	for {
		s := newService(directory.RandomID())
		s.UID = [16]byte([]byte(directory.RandomID()))
		if _, err := db.InsertService(ctx, s, change("service")); err != nil {
			return err
		}
		r := newRule(s, s, "read")
		if _, err := db.PutRule(ctx, r, change("rule")); err != nil {
			return err
		}
		tr := newTrust(s.Name, "https://"+s.Name)
		if _, err := db.InsertTrust(ctx, tr, change("trust")); err != nil {
			return err
		}
		if _, err := db.InsertCredential(ctx, newWorkload(s, tr, s.Name), change("credential")); err != nil {
			return err
		}
		if _, err := db.DeleteTrust(ctx, tr.ID, tr.Version, withdrawal(tr), change(directory.SubjectMany)); err != nil {
			return err
		}
		fmt.Println(directory.FormatUID(s.UID))
	}
}

// FLT-002: after kill -9 at any moment, 200 times, every acknowledged write is there, others
// are there whole or not at all, and the counter fits.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	kills := 200
	if testing.Short() {
		kills = 10
	}
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for i := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(stdout)
		for n := 0; lines.Scan(); n++ {
			acknowledged[lines.Text()] = true
			if n == i%7 {
				cmd.Process.Kill() // and read on: what was printed was acknowledged
			}
		}
		cmd.Wait()
		if stderr.Len() > 0 {
			t.Fatalf("child %d: %s", i, stderr.String())
		}
		if i%20 == 0 || i == kills-1 {
			checkAfterKill(t, dir, acknowledged)
		}
	}
	t.Logf("%d acknowledged over %d kills", len(acknowledged), kills)
}

func checkAfterKill(t *testing.T, dir string, acknowledged map[string]bool) {
	t.Helper()
	db := open(t, Options{DataDir: dir})
	defer db.Close()
	last := revision(t, db)
	state, err := db.Load(t.Context())
	must(t, err)
	// A deletion leaves a revocation of the trust that was made before, and revokes its credential.
	n := len(state.Services) + len(state.Rules) + len(state.Credentials) + len(state.Trusts) + 2*len(state.Revocations)
	if int64(n) != last {
		t.Fatalf("got %d rows at revision %d", n, last)
	}
	revoked := 0
	for _, c := range state.Credentials {
		if !c.RevokedAt.IsZero() {
			revoked++
		}
	}
	if revoked != len(state.Revocations) {
		t.Fatalf("%d credentials are revoked, and %d trusts deleted", revoked, len(state.Revocations))
	}
	stored := map[string]int{}
	for _, s := range state.Services {
		stored[directory.FormatUID(s.UID)]++
	}
	for _, r := range state.Rules {
		stored[directory.FormatUID(r.Caller)]++
	}
	for uid := range acknowledged {
		if stored[uid] != 2 {
			t.Fatalf("%s was acknowledged; %d of 2 rows are there", uid, stored[uid])
		}
	}
}
