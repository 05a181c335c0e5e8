//go:build unix

package pages

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/watchword-dev/watchword/internal/needs"
)

// Page is one file of the documentation.
type Page struct {
	Name   string // from the root of the repository, with "/"
	Blocks []Block
	// RunBy is the test of server/interop that runs the page, if it needs more than a server.
	RunBy string

	root string // of the repository
}

// Block is what stands between two lines of ```.
type Block struct {
	Lang, Text string
	Line       int
	Output     string // of a block of sh: the block of text directly behind it
	Runs       bool
	before     string // the text between the block before and this one
}

// Run runs the blocks of a page as a reader does, in an empty folder, with this in the environment beside what a reader
// has: PATH, with the program watchword, LANG and HOME.
func (p Page) Run(t *testing.T, env ...string) {
	t.Helper()
	for _, tool := range []string{"sh", "awk", "curl", "openssl", "python3", "sed", "kubectl"} {
		if _, err := exec.LookPath(tool); err != nil && p.uses(tool) {
			needs.Missing(t, err.Error())
		}
	}
	if p.uses("microservice") {
		env = append(env, p.microservice(t, env))
	}
	r := newReader(t, len(p.Blocks), env)
	if folder := path.Dir(p.Name); strings.HasPrefix(folder, "examples/") { // its reader is there
		if err := os.CopyFS(r.shell.Dir, os.DirFS(filepath.Join(p.root, folder))); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range p.Blocks {
		if strings.Contains(b.before, "Ctrl-C") && r.opened > 0 {
			r.interrupt()
		}
		if !b.Runs {
			continue
		}
		output := r.fromFree.Replace(r.run(t, p.Name, b))
		if missing := notIn(output, b.Output); missing != "" {
			t.Errorf("%s:%d does not print %q, but:\n%s", p.Name, b.Line, missing, output)
		}
	}
	checkModes(t, r.shell.Dir)
}

// microservice builds the example service, and returns a PATH that has it before what the PATH in env has.
func (p Page) microservice(t *testing.T, env []string) string {
	t.Helper()
	dir, program := t.TempDir(), filepath.Join(p.root, "examples", "microservice")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir, program).CombinedOutput(); err != nil { //nolint:gosec // of this checkout
		t.Fatalf("build microservice: %v\n%s", err, out)
	}
	all := os.Getenv("PATH")
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			all = value
		}
	}
	return "PATH=" + dir + string(filepath.ListSeparator) + all
}

// checkModes wants files with client secrets or tokens to be readable by their owner only.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if content := text(t, file); info.Mode().Perm()&0o077 != 0 && (strings.Contains(content, "eyJ") || strings.Contains(content, "wws_")) {
			t.Errorf("%s has mode %o", file, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func (p Page) uses(tool string) bool {
	return slices.ContainsFunc(p.Blocks, func(b Block) bool {
		return b.Runs && regexp.MustCompile(`\b`+tool+`\b`).MatchString(b.Text)
	})
}

func text(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Read reads all Markdown in the repository with this root, in the order of docs/index.md.
func Read(t *testing.T, root string) []Page {
	t.Helper()
	var names []string
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "dist" || strings.HasPrefix(d.Name(), ".") && file != root) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(d.Name(), ".md") {
			name, err := filepath.Rel(root, file)
			names = append(names, filepath.ToSlash(name))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	index := text(t, filepath.Join(root, "docs/index.md"))
	place := func(name string) int {
		if name == "README.md" {
			return -2
		}
		return strings.Index(index, "("+LinkTo(name)+")")
	}
	slices.SortStableFunc(names, func(a, b string) int { return place(a) - place(b) })
	pages := make([]Page, len(names))
	for i, name := range names {
		pages[i] = parse(t, root, name)
	}
	return pages
}

// LinkTo is how docs/index.md links to a file.
func LinkTo(name string) string {
	if inside, ok := strings.CutPrefix(name, "docs/"); ok {
		return inside
	}
	return "../" + name
}

func parse(t *testing.T, root, name string) Page {
	t.Helper()
	p := Page{Name: name, root: root}
	all := text(t, filepath.Join(root, filepath.FromSlash(name)))
	if m := runBy.FindStringSubmatch(all); m != nil {
		p.RunBy = m[1]
	}
	var blocks []Block
	lines := strings.SplitAfter(all, "\n")
	var before strings.Builder
	for i := 0; i < len(lines); i++ {
		fence, isFence := strings.CutPrefix(lines[i], "```")
		if !isFence {
			if strings.HasPrefix(strings.TrimSpace(lines[i]), "```") {
				t.Errorf("%s:%d: blocks begin at the left margin", name, i+1)
			}
			before.WriteString(lines[i])
			continue
		}
		b := Block{Lang: strings.TrimSpace(fence), Line: i + 1, before: before.String()}
		before.Reset()
		for i++; i < len(lines) && lines[i] != "```\n"; i++ {
			b.Text += lines[i]
		}
		b.Runs = b.Lang == "sh" && !notRun.MatchString(b.before)
		if last := len(blocks) - 1; last >= 0 && blocks[last].Runs && b.Lang == "text" && strings.TrimSpace(b.before) == "" {
			blocks[last].Output = b.Text
		}
		blocks = append(blocks, b)
	}
	p.Blocks = blocks
	return p
}

// runBy is the comment in a page that a test of server/interop runs.
var runBy = regexp.MustCompile(`<!-- run in server/interop: (\w+) -->`)

// notRun is the comment before a block that is not run. The tests of server/interop run the files that
// the pages of docs/clients show.
var notRun = regexp.MustCompile(`<!-- (not run: [^\n]+|server/interop/\S+) -->\n\s*$`)

// staysRunning are the commands that a reader gives a terminal of their own, and isUp what they say
// once they can be asked.
var (
	staysRunning = regexp.MustCompile(`^([A-Z_]+=\S+ )*(watchword (serve|demo)\b|microservice |python3 .*-m http\.server\b)`)
	isUp         = regexp.MustCompile(`msg=ready|Ctrl-C ends|Serving HTTP on|listens on http`)
)

// reader runs the commands of one page.
type reader struct {
	shell     *exec.Cmd
	commands  io.Writer
	output    *bufio.Reader
	terminals []*os.File // where what keeps running writes to: one for each time
	opened    int
	toFree    *strings.Replacer // from the ports of the page to free ones
	fromFree  *strings.Replacer
	// onFreePorts adds to what keeps running the ports that no flag of the page names.
	onFreePorts *strings.Replacer
	sourceFile  string
}

// newReader starts a shell in an empty folder, with room for so many commands that keep running.
func newReader(t *testing.T, terminals int, env []string) *reader {
	t.Helper()
	r := &reader{sourceFile: filepath.Join(t.TempDir(), "block.sh")}
	var toFree, fromFree []string
	free := map[string]string{}
	for _, port := range []string{"8000", "8010", "8001", "8002", "8003", "8004", "9000", "9010", "3567"} {
		free[port] = freePort(t)
		toFree, fromFree = append(toFree, port, free[port]), append(fromFree, free[port], port)
	}
	r.toFree, r.fromFree = strings.NewReplacer(toFree...), strings.NewReplacer(fromFree...)
	r.onFreePorts = strings.NewReplacer(
		"watchword demo", r.toFree.Replace("watchword demo --listen 127.0.0.1:8000 --admin-listen 127.0.0.1:8010 --m1-listen 127.0.0.1:8001 --m2-listen 127.0.0.1:8002 --m3-listen 127.0.0.1:8003"),
		"microservice m1", r.toFree.Replace("microservice m1 --listen 127.0.0.1:8001 --peer m2=http://127.0.0.1:8002"),
		"microservice m2", r.toFree.Replace("microservice m2 --listen 127.0.0.1:8002 --peer m1=http://127.0.0.1:8001"))

	r.shell = exec.CommandContext(t.Context(), "sh", "-eu")
	r.shell.Dir = t.TempDir()
	r.shell.Env = append(r.shell.Env, "HOME="+r.shell.Dir, "TMPDIR="+t.TempDir(), "GORACE=atexit_sleep_ms=0", "PYTHONUNBUFFERED=1")
	for _, name := range []string{"PATH", "LANG"} {
		r.shell.Env = append(r.shell.Env, name+"="+os.Getenv(name))
	}
	for _, setting := range []string{
		"LISTEN=127.0.0.1:8000", "ADMIN_LISTEN=127.0.0.1:8010", "SUPERTOKENS_LISTEN=127.0.0.1:3567",
	} {
		r.shell.Env = append(r.shell.Env, "WATCHWORD_"+r.toFree.Replace(setting))
	}
	r.shell.Env = append(r.shell.Env, env...) // of two the last counts
	r.shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}

	commands, err := r.shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.commands = commands
	output, w := pipe(t)
	r.output = bufio.NewReader(output)
	r.shell.Stdout, r.shell.Stderr = w, w
	for range min(terminals, 6) { // a shell has file descriptors of one digit
		out, in := pipe(t)
		r.terminals = append(r.terminals, out)
		r.shell.ExtraFiles = append(r.shell.ExtraFiles, in)
	}
	if err := r.shell.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range append(r.shell.ExtraFiles, w) {
		_ = f.Close()
	}
	fmt.Fprintln(r.commands, "umask 022") // as most readers have it
	t.Cleanup(func() {
		_ = syscall.Kill(-r.shell.Process.Pid, syscall.SIGTERM)
		_ = commands.Close()
		_ = r.shell.Wait()
		for _, f := range r.terminals {
			_, _ = io.Copy(io.Discard, f) // until what writes there has ended
		}
	})
	return r
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// run runs a block in the shell of the page and returns what it printed.
func (r *reader) run(t *testing.T, page string, b Block) string {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(r.toFree.Replace(b.Text), "\n"), "\n")
	for i, line := range lines {
		if rest, ok := strings.CutPrefix(line, "! "); ok {
			lines[i] = "if " + rest + "; then echo 'it did not fail' >&2; exit 1; fi" // sh -e does not look at what ! turns round
		}
	}
	last := len(lines) - 1
	if keeps := staysRunning.MatchString(lines[last]); keeps {
		lines[last] = r.onFreePorts.Replace("exec env " + lines[last])
		return r.start(t, page, b, strings.Join(lines, "\n"))
	}
	if err := os.WriteFile(r.sourceFile, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const end = "-- end of the block --"
	fmt.Fprintf(r.commands, ". '%s' </dev/null\necho '%s'\n", r.sourceFile, end)
	var output strings.Builder
	for {
		line, err := r.output.ReadString('\n')
		if err != nil {
			t.Fatalf("%s:%d failed:\n%s%s\nit printed:\n%s", page, b.Line, b.Text, line, r.fromFree.Replace(output.String()))
		}
		if before, found := strings.CutSuffix(line, end+"\n"); found {
			return output.String() + before
		}
		output.WriteString(line)
	}
}

// start runs what keeps running, and returns what it printed until it could be asked.
func (r *reader) start(t *testing.T, page string, b Block, commands string) string {
	t.Helper()
	if err := os.WriteFile(fmt.Sprint(r.sourceFile, r.opened), []byte(commands+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var closing string // of the terminals: each must end with what was started there
	for i := range r.terminals[r.opened:] {
		closing += fmt.Sprintf(" %d>&-", 3+r.opened+i)
	}
	fmt.Fprintf(r.commands, "( exec%s; . '%s%d' ) </dev/null >&%d 2>&1 & RUNNING=$!; exec %d>&-\n", closing, r.sourceFile, r.opened, 3+r.opened, 3+r.opened)
	out := bufio.NewReader(r.terminals[r.opened])
	r.opened++
	var output strings.Builder
	for {
		line, err := out.ReadString('\n')
		output.WriteString(line)
		if err != nil {
			t.Fatalf("%s:%d ended:\n%s\nit printed:\n%s", page, b.Line, b.Text, r.fromFree.Replace(output.String()))
		}
		if isUp.MatchString(line) {
			go func() { _, _ = io.Copy(io.Discard, out) }() // so that it never waits for a reader
			return output.String()
		}
	}
}

// interrupt ends what was started last.
func (r *reader) interrupt() {
	fmt.Fprintln(r.commands, `kill "$RUNNING"; wait "$RUNNING" || true`)
}

// notIn returns the first line of shown that output does not have. Lines must follow each other in
// both; "..." in shown is anything, or any number of lines if it is alone. What differs from run to
// run is not compared: ids, keys, tokens, times, and how columns are aligned.
func notIn(output, shown string) string {
	got, anywhere := strings.Split(alike(output), "\n"), true
	for line := range strings.Lines(shown) {
		line = alike(strings.TrimSuffix(line, "\n"))
		if line == "..." {
			anywhere = true
			continue
		}
		want := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, ".*") + "$")
		next := slices.IndexFunc(got, want.MatchString)
		if next < 0 || next > 0 && !anywhere {
			return line
		}
		got, anywhere = got[next+1:], false
	}
	return ""
}

func alike(s string) string {
	for _, r := range differs {
		s = r.what.ReplaceAllString(s, r.with)
	}
	return s
}

var differs = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b[0-9a-f]{32}\b|(svc_)[0-9a-f]{32}\b`), "${1}ID"},
	{regexp.MustCompile(`eyJ[\w-]*(\.[\w-]*)*\.*`), "TOKEN"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?Z)?`), "TIME"},
	{regexp.MustCompile(`\bin \d+[hms]\w*`), "in TIME"},
	{regexp.MustCompile(`[\w-]{43}\b`), "KEY"},
	{regexp.MustCompile(`\b(record|revision) \d+`), "$1 N"},
	{regexp.MustCompile(`(?m)[ \t]+`), " "},
	{regexp.MustCompile(`(?m) $`), ""},
}
