package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestMain is the other process of TestKilledProcessLosesItsLock.
func TestMain(m *testing.M) {
	if path := os.Getenv("LOCK"); path != "" {
		if _, err := Lock(path); err != nil {
			println(err.Error())
			os.Exit(1)
		}
		os.Stdout.WriteString("locked\n")
		io.Copy(io.Discard, os.Stdin)
		return
	}
	os.Exit(m.Run())
}

func TestOneLockIsHeldAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a refused lock does not give the held one back
		_, err := Lock(path)
		if want := fmt.Sprintf("%s is in use by process %d", path, os.Getpid()); !errors.Is(err, ErrInUse) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	first.Close()
	again, err := Lock(path)
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	again.Close()
}

func TestKilledProcessLosesItsLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOCK="+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	if _, err := Lock(path); !errors.Is(err, ErrInUse) {
		t.Fatalf("got %v, want ErrInUse", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	f, err := Lock(path)
	if err != nil {
		t.Fatalf("after the other process was killed: %v", err)
	}
	f.Close()
}

func TestFoldersThatAreNotThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := Lock(filepath.Join(dir, "lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Lock: got %v", err)
	}
	if err := SyncDir(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("SyncDir: got %v", err)
	}
	if err := SyncDir(t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestFileIsMadeWholeAndReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	if err := Create(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, []byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "first" {
		t.Errorf("got %q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v, want nothing left beside the file", entries, err)
	}
}
