//go:build unix

package main

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

// TestPages runs the documentation as a reader does: README.md first, then the pages in the order
// in which docs/index.md names them, each in an empty folder. In a page
//
//   - a block of "sh" is run, unless a comment before it says why not: <!-- not run: REASON -->. A
//     command behind "! " has to fail. What keeps running, such as a server, ends when the page says
//     "Ctrl-C", or with the page.
//   - a block of "text" directly behind one that ran is output of it. "..." stands for lines left out.
//   - a block of another language is not looked at, and has no commands.
//
// The ports that pages name are replaced by free ones. What a page writes to files that has a secret or a
// token in it must be readable by its reader only.
//
// F15, F65 (docs/oauth.md has a server with one issuer), F66.
func TestPages(t *testing.T) {
	for _, p := range readPages(t) {
		if !slices.ContainsFunc(p.blocks, func(b block) bool { return b.runs }) {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			for _, tool := range []string{"sh", "awk", "curl", "openssl", "python3", "sed"} {
				if _, err := exec.LookPath(tool); err != nil && p.uses(tool) {
					needs.Missing(t, err.Error())
				}
			}
			r := newReader(t, len(p.blocks))
			if folder := path.Dir(p.name); strings.HasPrefix(folder, "examples/") { // its reader is there
				if err := os.CopyFS(r.shell.Dir, os.DirFS(filepath.Join(checkout, folder))); err != nil {
					t.Fatal(err)
				}
			}
			for _, b := range p.blocks {
				if strings.Contains(b.before, "Ctrl-C") && r.opened > 0 {
					r.interrupt()
				}
				if !b.runs {
					continue
				}
				output := r.fromFree.Replace(r.run(t, p.name, b))
				if missing := notIn(output, b.output); missing != "" {
					t.Errorf("%s:%d does not print %q, but:\n%s", p.name, b.line, missing, output)
				}
			}
			checkModes(t, r.shell.Dir)
		})
	}
}

// A command that nobody runs is soon wrong, so every block of commands is run or says why not.
func TestEveryCommandInThePagesIsRunOrSaysWhyNot(t *testing.T) {
	pages := readPages(t)
	command := regexp.MustCompile(`(?m)^(\$ |(sudo |[A-Z_]+=\S+ )*(watchword|curl|go|make|npm|npx|apt|apt-get|docker|git|export|cp|cat|openssl) )`)
	for _, p := range pages {
		for i, b := range p.blocks {
			where := fmt.Sprintf("%s:%d", p.name, b.line)
			isOutput := i > 0 && b.lang == "text" && p.blocks[i-1].output == b.text
			switch {
			case b.lang == "":
				t.Errorf("%s: say what the block is: sh for commands, text for output", where)
			case slices.Contains([]string{"bash", "console", "shell"}, b.lang):
				t.Errorf("%s: commands are in blocks of sh, their output in blocks of text", where)
			case b.lang != "sh" && !isOutput && command.MatchString(b.text):
				t.Errorf("%s: %q looks like a command in a block that is not run", where, command.FindString(b.text))
			case b.lang == "sh" && !b.runs:
				checkNames(t, where, b.text)
			}
		}
	}
	index := readText(t, filepath.Join(checkout, "docs/index.md"))
	for _, p := range pages {
		listed := strings.HasPrefix(p.name, "docs/clients/") && path.Base(p.name) != "README.md" // by the README.md there, as server/interop checks
		if p.name != "docs/index.md" && !listed && !strings.Contains(index, "]("+linkTo(p.name)+")") {
			t.Errorf("docs/index.md does not name %s", p.name)
		}
	}
}

// Links between the pages lead somewhere.
func TestLinksOfThePagesAreGood(t *testing.T) {
	link, code := regexp.MustCompile(`\]\(([^):# ]*)(#[^) ]*)?\)`), regexp.MustCompile("(?ms)^```.*?^```$")
	for _, p := range readPages(t) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(readText(t, filepath.Join(checkout, p.name)), ""), -1) {
			file := p.name
			if m[1] != "" {
				file = path.Join(path.Dir(p.name), m[1])
			}
			if _, err := os.Stat(filepath.Join(checkout, file)); err != nil {
				t.Errorf("%s: %v", p.name, err)
			} else if m[2] != "" && !slices.Contains(anchors(readText(t, filepath.Join(checkout, file))), m[2]) {
				t.Errorf("%s: %s has no heading for %s", p.name, file, m[2])
			}
		}
	}
}

// anchors are what GitHub makes of the headings of a page.
func anchors(text string) (all []string) {
	drop := regexp.MustCompile(`[^\w\- ]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		all = append(all, "#"+strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
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
		if text := readText(t, file); info.Mode().Perm()&0o077 != 0 && (strings.Contains(text, "eyJ") || strings.Contains(text, "wws_")) {
			t.Errorf("%s has mode %o", file, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// checkNames wants the folders and the make targets that commands name, where those are not run.
func checkNames(t *testing.T, where, commands string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^go .* (\./[\w/]+)`).FindAllStringSubmatch(commands, -1) {
		if _, err := os.Stat(filepath.Join(checkout, m[1])); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	makefile := readText(t, filepath.Join(checkout, "Makefile"))
	for _, m := range regexp.MustCompile(`(?m)^make (\w+)`).FindAllStringSubmatch(commands, -1) {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("%s: the Makefile has no target %s", where, m[1])
		}
	}
}

// docPage is one file of the documentation.
type docPage struct {
	name   string // from the root of the repository, with "/"
	blocks []block
}

// block is what stands between two lines of ```.
type block struct {
	lang, text string
	line       int
	before     string // the text between the block before and this one
	output     string // of a block of sh: the block of text directly behind it
	runs       bool
}

func (p docPage) uses(tool string) bool {
	return slices.ContainsFunc(p.blocks, func(b block) bool {
		return b.runs && regexp.MustCompile(`\b`+tool+`\b`).MatchString(b.text)
	})
}

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readPages reads all Markdown there is, in the order of docs/index.md.
func readPages(t *testing.T) []docPage {
	t.Helper()
	var names []string
	err := filepath.WalkDir(checkout, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "dist" || strings.HasPrefix(d.Name(), ".") && file != checkout) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(d.Name(), ".md") {
			name, err := filepath.Rel(checkout, file)
			names = append(names, filepath.ToSlash(name))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	index := readText(t, filepath.Join(checkout, "docs/index.md"))
	place := func(name string) int {
		if name == "README.md" {
			return -2
		}
		return strings.Index(index, "("+linkTo(name)+")")
	}
	slices.SortStableFunc(names, func(a, b string) int { return place(a) - place(b) })
	pages := make([]docPage, len(names))
	for i, name := range names {
		pages[i] = docPage{name, parseBlocks(t, name)}
	}
	return pages
}

// linkTo is how docs/index.md links to a file.
func linkTo(name string) string {
	if inside, ok := strings.CutPrefix(name, "docs/"); ok {
		return inside
	}
	return "../" + name
}

func parseBlocks(t *testing.T, name string) (blocks []block) {
	t.Helper()
	lines := strings.SplitAfter(readText(t, filepath.Join(checkout, filepath.FromSlash(name))), "\n")
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
		b := block{lang: strings.TrimSpace(fence), line: i + 1, before: before.String()}
		before.Reset()
		for i++; i < len(lines) && lines[i] != "```\n"; i++ {
			b.text += lines[i]
		}
		b.runs = b.lang == "sh" && !notRun.MatchString(b.before)
		if last := len(blocks) - 1; last >= 0 && blocks[last].runs && b.lang == "text" && strings.TrimSpace(b.before) == "" {
			blocks[last].output = b.text
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// notRun is the comment before a block that is not run. The tests of server/interop run the files that
// the pages of docs/clients show.
var notRun = regexp.MustCompile(`<!-- (not run: [^\n]+|server/interop/\S+) -->\n\s*$`)

// staysRunning are the commands that a reader gives a terminal of their own, and isUp what they say
// once they can be asked.
var (
	staysRunning = regexp.MustCompile(`^([A-Z_]+=\S+ )*(watchword (serve|demo)\b|python3 .*-m http\.server\b)`)
	isUp         = regexp.MustCompile(`msg=ready|Ctrl-C ends|Serving HTTP on`)
)

// reader runs the commands of one page.
type reader struct {
	shell      *exec.Cmd
	commands   io.Writer
	output     *bufio.Reader
	terminals  []*os.File // where what keeps running writes to: one for each time
	opened     int
	toFree     *strings.Replacer // from the ports of the page to free ones
	fromFree   *strings.Replacer
	demoFlags  string
	sourceFile string
}

// newReader starts a shell in an empty folder, with room for so many commands that keep running.
func newReader(t *testing.T, terminals int) *reader {
	t.Helper()
	r := &reader{sourceFile: filepath.Join(t.TempDir(), "block.sh")}
	var toFree, fromFree []string
	free := map[string]string{}
	for _, port := range []string{"8000", "8010", "8001", "8002", "8003", "8004", "9000", "9010", "3567"} {
		free[port] = freePort(t)
		toFree, fromFree = append(toFree, port, free[port]), append(fromFree, free[port], port)
	}
	r.toFree, r.fromFree = strings.NewReplacer(toFree...), strings.NewReplacer(fromFree...)
	r.demoFlags = r.toFree.Replace(" --listen 127.0.0.1:8000 --admin-listen 127.0.0.1:8010" +
		" --m1-listen 127.0.0.1:8001 --m2-listen 127.0.0.1:8002 --m3-listen 127.0.0.1:8003")

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
	l, err := net.Listen("tcp", "127.0.0.1:0")
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
func (r *reader) run(t *testing.T, page string, b block) string {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(r.toFree.Replace(b.text), "\n"), "\n")
	for i, line := range lines {
		if rest, ok := strings.CutPrefix(line, "! "); ok {
			lines[i] = "if " + rest + "; then echo 'it did not fail' >&2; exit 1; fi" // sh -e does not look at what ! turns round
		}
	}
	last := len(lines) - 1
	if keeps := staysRunning.MatchString(lines[last]); keeps {
		lines[last] = strings.Replace("exec env "+lines[last], "watchword demo", "watchword demo"+r.demoFlags, 1)
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
			t.Fatalf("%s:%d failed:\n%s%s\nit printed:\n%s", page, b.line, b.text, line, r.fromFree.Replace(output.String()))
		}
		if before, found := strings.CutSuffix(line, end+"\n"); found {
			return output.String() + before
		}
		output.WriteString(line)
	}
}

// start runs what keeps running, and returns what it printed until it could be asked.
func (r *reader) start(t *testing.T, page string, b block, commands string) string {
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
			t.Fatalf("%s:%d ended:\n%s\nit printed:\n%s", page, b.line, b.text, r.fromFree.Replace(output.String()))
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
