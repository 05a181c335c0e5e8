package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"debug/pe"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// folder is where the tests of this package work. Users other than root must be able to enter it.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "watchword-release-test-"); err == nil {
		err = os.Chmod(folder, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// needs skips a test without a program, but under make test and in CI, which are to run everything, it fails.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+" is not installed; scripts/needs installs it")
		}
	}
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "chroot is for root only")
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" || os.Getenv("WWTEST") == "all" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// command runs a program to its end and returns what it wrote.
func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	out, err := tried(dir, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tried(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return string(out), err
}

// workTree copies the work tree, changes and all, into a repository of its own, where they are committed. Two
// copies have the same commit.
func workTree(name string) (string, error) {
	dir := filepath.Join(folder, name)
	script := `set -e
mkdir "$0"
cd ../..
git ls-files -coz --exclude-standard | while IFS= read -rd '' f; do if [ -e "$f" ]; then printf '%s\0' "$f"; fi; done | xargs -0 cp --parents -t "$0"
cd "$0"
export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@example.com GIT_AUTHOR_DATE=2026-11-28T12:00:00Z
export GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@example.com GIT_COMMITTER_DATE=2026-11-28T12:00:00Z
git init -q -b main
git add -A
git commit -qm release
git tag server/v9.8.7-rc.6`
	_, err := tried("", "bash", "-c", script, dir)
	return dir, err
}

// makeRelease runs the release program as scripts/release does, for two platforms, of which files of each kind
// are made: Windows has the zip.
func makeRelease(tree, out string, env ...string) error {
	cmd := exec.Command("sh", "-c", `umask $UMASK && exec "$PROGRAM" -root . -out "$OUT" -platforms linux/amd64,windows/amd64`)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), append(env, "OUT="+out, "PROGRAM="+filepath.Join(folder, "release"))...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

const (
	version        = "9.8.7-rc.6"
	packageVersion = "9.8.7~rc.6"
)

// dist is the folder of a release for linux/amd64 and windows/amd64.
func dist(t *testing.T) string {
	t.Helper()
	out, err := distOnce()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var distOnce = sync.OnceValues(func() (string, error) {
	if _, err := tried("", "go", "build", "-o", filepath.Join(folder, "release"), "."); err != nil {
		return "", err
	}
	tree, err := workTree("first")
	if err != nil {
		return "", err
	}
	out := filepath.Join(folder, "dist")
	return out, makeRelease(tree, out, "UMASK=022", "TZ=UTC")
})

func TestTwoBuildsHaveTheSameChecksums(t *testing.T) {
	t.Parallel()
	first := dist(t)
	tree, err := workTree("second-at-another-path")
	if err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(folder, "second")
	if err := makeRelease(tree, second, "UMASK=077", "TZ=Pacific/Auckland", "SOURCE_DATE_EPOCH=1", "GOWORK=off", "GOFLAGS=-trimpath=false", "GOAMD64=v3", "GOEXPERIMENT=jsonv2"); err != nil {
		t.Fatal(err)
	}
	a, b := read(t, first, "SHA256SUMS"), read(t, second, "SHA256SUMS")
	if a != b {
		t.Errorf("got\n%s and\n%s", a, b)
	}
	command(t, first, "sha256sum", "--check", "--strict", "SHA256SUMS")
	files, err := os.ReadDir(first)
	if err != nil {
		t.Fatal(err)
	}
	if sums := strings.Count(a, "\n"); sums != len(files)-1 {
		t.Errorf("got %d checksums of %d files", sums, len(files)-1)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWorkTreeThatIsNotCleanIsRefused(t *testing.T) {
	t.Parallel()
	dist(t) // so that the program is there
	tree, err := workTree("dirty")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{"README.md", "new"} {
		if err := os.WriteFile(filepath.Join(tree, change), []byte("changed"), 0o600); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(folder, "of-a-dirty-tree")
		if err := makeRelease(tree, out, "UMASK=022"); err == nil || !strings.Contains(err.Error(), "not clean") || !strings.Contains(err.Error(), change) {
			t.Errorf("%s: got %v", change, err)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: it wrote to %s", change, out)
		}
		command(t, tree, "git", "stash", "-qu")
	}
}

func TestVersionIsThatOfTheTag(t *testing.T) {
	t.Parallel()
	tree, err := workTree("versions")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ change, version, failure string }{
		{"", version, ""},
		{"git tag server/v9.8.7", "", "several versions: server/v9.8.7, server/v9.8.7-rc.6"},
		{"git tag -d server/v9.8.7-rc.6", "9.8.7", ""},
		{"git tag -d server/v9.8.7", "0.0.0-dev.20261128120000.g", ""},
	} {
		command(t, tree, "sh", "-c", c.change)
		r, err := describe(t.Context(), tree)
		if c.failure != "" {
			if err == nil || !strings.Contains(err.Error(), c.failure) {
				t.Errorf("%s: got %v", c.change, err)
			}
		} else if err != nil || !strings.HasPrefix(r.version, c.version) {
			t.Errorf("%s: got %+v, %v, want %s", c.change, r, err, c.version)
		}
	}
}

func TestFolderThatIsNotEmptyIsNotWrittenTo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"-out", dir}); err == nil || !strings.Contains(err.Error(), "not an empty folder") {
		t.Errorf("got %v", err)
	}
}

func TestArchiveHasProgramManualAndCompletions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := "watchword_" + version + "_linux_amd64"
	command(t, dir, "tar", "-xzf", filepath.Join(dist(t), name+".tar.gz"))
	dir = filepath.Join(dir, name)
	wantBuild(t, command(t, dir, "./watchword", "version", "--json"))
	p := demo(t, nil, dir, "./watchword")
	wantRules(t, command(t, "/", "sh", "-c", p.rules))
	p.end(syscall.SIGINT)
	for _, name := range []string{"LICENSE", "README.md", "THIRD_PARTY_LICENSES", "completions/watchword.zsh", "completions/watchword.fish", "completions/watchword.ps1"} {
		if read(t, dir, name) == "" {
			t.Errorf("%s is empty", name)
		}
	}
	if text := read(t, dir, "README.md"); strings.Contains(text, "](docs/") || !strings.Contains(text, "]("+homepage+"/blob/") {
		t.Errorf("README.md has links to files that are not in the archive:\n%s", text)
	}
	if page := read(t, dir, "man1/watchword-token-get.1"); !strings.Contains(page, "credential-file") || !strings.Contains(page, `"Nov 2026"`) {
		t.Errorf("man page: got %s", page)
	}
	// What bash completes after "watchword token g".
	completed := command(t, dir, "bash", "-c", `PATH=$PWD:$PATH; . completions/watchword.bash
COMP_WORDS=(watchword token g) COMP_CWORD=2 COMP_LINE="watchword token g" COMP_POINT=17 COMP_TYPE=9
_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=g prev=token; }
__start_watchword 2>/dev/null; echo "${COMPREPLY[*]}"`)
	if !strings.HasPrefix(completed, "get") {
		t.Errorf("bash completes %q", completed)
	}
}

// wantBuild wants the output of "version --json" to name the release.
func wantBuild(t *testing.T, output string) {
	t.Helper()
	var got struct{ Version, Commit, Date, Go, Platform string }
	if err := json.Unmarshal([]byte(output), &got); err != nil {
		t.Fatalf("%v in %s", err, output)
	}
	commit := strings.TrimSpace(command(t, filepath.Join(folder, "first"), "git", "rev-parse", "HEAD"))
	if got.Version != "v"+version || got.Commit != commit || got.Date != "2026-11-28T12:00:00Z" || got.Platform != "linux/amd64" {
		t.Errorf("got %+v, want version v%s and commit %s", got, version, commit)
	}
}

// F69: the program builds for Windows, and what is in the zip is for Windows.
func TestZipHasTheProgramForWindows(t *testing.T) {
	t.Parallel()
	name := "watchword_" + version + "_windows_amd64"
	z, err := zip.OpenReader(filepath.Join(dist(t), name+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, want := range []string{"watchword.exe", "LICENSE", "README.md", "THIRD_PARTY_LICENSES", "completions/watchword.ps1"} {
		text, err := fs.ReadFile(z, name+"/"+want)
		if err != nil || len(text) == 0 {
			t.Errorf("%s: got %d bytes, %v", want, len(text), err)
		}
		if want == "watchword.exe" {
			program, err := pe.NewFile(bytes.NewReader(text))
			if err != nil || program.Machine != pe.IMAGE_FILE_MACHINE_AMD64 {
				t.Errorf("%s is not a program for Windows: %v", want, err)
			}
		}
	}
	for _, f := range z.File {
		if !f.Modified.Equal(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)) {
			t.Errorf("%s is of %v", f.Name, f.Modified)
		}
	}
}

// process is a program that runs until the test ends it.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.Writer
	rules  string        // of the demo: the commands that it prints for the rules of the server
	output *bytes.Buffer // once it has ended
	ended  chan struct{}
	err    error
}

// demo starts the demo, on ports that are free, and returns once it has printed its tour and done what it
// promises: m1 calls m2, and m3 may not.
func demo(t *testing.T, env []string, dir, name string, args ...string) *process {
	t.Helper()
	args = append(args, "demo")
	for _, listener := range []string{"listen", "admin-listen", "m1-listen", "m2-listen", "m3-listen"} {
		args = append(args, "--"+listener, "127.0.0.1:0")
	}
	ready := regexp.MustCompile(`(?s)m1 is at (\S+), m2 is at (\S+), and m3 is at (\S+)\.\n.*\n(export .*?)\n# .*watchword probe --all\n`)
	p, found := start(t, env, dir, ready, name, args...)
	p.rules = found[4] + "\nwatchword rules"
	for _, c := range []struct {
		service string
		status  int
		says    string
	}{{found[1], 200, "Hello to m1 from m2!"}, {found[3], 401, "access_denied"}} {
		status, body := post(t, c.service+"/query", `{"target":"m2"}`)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: got %d %s, want %d %s", c.service, status, body, c.status, c.says)
		}
	}
	return p
}

// wantRules wants the output of the command for the rules of the demo.
func wantRules(t *testing.T, output string) {
	t.Helper()
	if !regexp.MustCompile(`(?m)^m3 +m1 `).MatchString(output) {
		t.Errorf("the rules are %s", output)
	}
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// start runs a program and returns once its output matches.
func start(t *testing.T, env []string, dir string, ready *regexp.Regexp, name string, args ...string) (*process, []string) {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), output: new(bytes.Buffer), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), env...)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = write, write
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	matched := make(chan []string, 1)
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(read); lines.Scan(); {
			fmt.Fprintln(p.output, lines.Text())
			if ready == nil {
				continue
			}
			if found := ready.FindStringSubmatch(p.output.String()); found != nil {
				matched <- found
				ready = nil
			}
		}
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended long ago, unless the test failed
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	select {
	case found := <-matched:
		return p, found
	case <-p.ended:
		t.Fatalf("%s ended: %v\n%s", p.cmd, p.err, p.output)
	case <-ctx.Done():
		_ = p.cmd.Process.Kill()
		p.wait()
		t.Fatalf("%s did not say what it was to say:\n%s", p.cmd, p.output)
	}
	return nil, nil
}

// end sends a signal, and wants the program to end well.
func (p *process) end(signal syscall.Signal) string {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	p.wait()
	if p.err != nil {
		p.t.Errorf("%s ended with %v\n%s", p.cmd, p.err, p.output)
	}
	return p.output.String()
}

// wait waits until the program and all that it started have ended.
func (p *process) wait() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.t.Fatalf("%s does not end", p.cmd)
	}
}

// wantFile wants a file with these permissions, owner and group.
func wantFile(t *testing.T, path string, mode fs.FileMode, uid, gid uint32) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Error(err)
		return
	}
	owner := info.Sys().(*syscall.Stat_t)
	if info.Mode().Perm() != mode || owner.Uid != uid || owner.Gid != gid {
		t.Errorf("%s: got %v of %d:%d, want %v of %d:%d", path, info.Mode().Perm(), owner.Uid, owner.Gid, mode, uid, gid)
	}
}
