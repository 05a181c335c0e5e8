package main

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// release is what is released.
type release struct {
	root    string // of the work tree
	version string // as npm and the names of files have it: 0.1.0
	commit  string
	date    time.Time // of the commit: all files in all archives bear it

	progress func(format string, args ...any) // is told what is being done

	built     []built
	manual    []file // man1/*.1 and completions/*
	license   []byte
	readme    []byte
	others    []byte         // the licenses of what is linked
	modules   []debug.Module // that are linked, of other people
	goVersion string
}

// built is the program for one platform.
type built struct {
	platform
	program []byte
}

// describe reads what is to be released. The work tree must be clean, since the commit is to tell what is in
// a release.
func describe(ctx context.Context, root string) (*release, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	r := &release{root: root}
	changes, err := r.command(ctx, nil, "git", "status", "--porcelain")
	if err != nil {
		return nil, err
	}
	if len(changes) > 0 {
		return nil, fmt.Errorf("the work tree is not clean; commit, or remove:\n%s", changes)
	}
	head, err := r.command(ctx, nil, "git", "log", "-1", "--format=%H %ct")
	if err != nil {
		return nil, err
	}
	commit, seconds, _ := strings.Cut(strings.TrimSpace(string(head)), " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the date of the commit: %w", err)
	}
	r.commit, r.date = commit, time.Unix(unix, 0).UTC()
	// The tag of the module which has the program, so that a release and "go install" have the same version.
	tags, err := r.command(ctx, nil, "git", "tag", "--points-at", "HEAD", "--list", "server/v*")
	if err != nil {
		return nil, err
	}
	switch tags := strings.Fields(string(tags)); len(tags) {
	case 0:
		r.version = fmt.Sprintf("0.0.0-dev.%s.g%s", r.date.Format("20060102150405"), commit[:12])
	case 1:
		r.version = strings.TrimPrefix(tags[0], "server/v")
	default:
		return nil, fmt.Errorf("the commit has several versions: %s", strings.Join(tags, ", "))
	}
	for name, text := range map[string]*[]byte{"LICENSE": &r.license, "README.md": &r.readme} {
		if *text, err = os.ReadFile(filepath.Join(root, name)); err != nil {
			return nil, err
		}
	}
	r.readme = relativeLink.ReplaceAll(r.readme, []byte("]("+homepage+"/blob/"+commit+"/$1)"))
	return r, nil
}

// relativeLink is one of Markdown to a file of the repository, which is not in the archives.
var relativeLink = regexp.MustCompile(`\]\(([^:)#][^:)]*)\)`)

// packageVersion is the version as Debian and RPM order it: 0.1.0~rc.1 comes before 0.1.0.
func (r *release) packageVersion() string { return strings.Replace(r.version, "-", "~", 1) }

// build builds the program for each platform, its man pages and completions, and collects the licenses of what
// is linked. It builds in the workspace, as the tests do.
func (r *release) build(ctx context.Context, platforms []platform) error {
	dir, err := os.MkdirTemp("", "watchword-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for i, p := range platforms {
		r.progress("build for %s, %d of %d", p, i+1, len(platforms))
		output := filepath.Join(dir, p.os+"-"+p.arch)
		env := []string{"GOOS=" + p.os, "GOARCH=" + p.arch}
		ldflags := "-s -w -X github.com/watchword-dev/watchword/server/internal/buildinfo.version=v" + r.version
		if _, err := r.goCommand(ctx, env, "build", "-trimpath", "-buildvcs=true", "-ldflags", ldflags, "-o", output, "./server/cmd/watchword"); err != nil {
			return err
		}
		program, err := os.ReadFile(output)
		if err != nil {
			return err
		}
		r.built = append(r.built, built{p, program})
	}
	r.progress("write the man pages and completions")
	if err := r.writeManual(ctx, filepath.Join(dir, "manual")); err != nil {
		return err
	}
	if err := r.readPrograms(); err != nil {
		return err
	}
	return r.collectLicenses(ctx)
}

// goCommand runs go. What the environment could have it do otherwise is said here, with Go's defaults.
func (r *release) goCommand(ctx context.Context, env []string, args ...string) ([]byte, error) {
	fixed := []string{"GOWORK=" + filepath.Join(r.root, "go.work"), "GOFLAGS=-mod=readonly", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "GOEXPERIMENT=", "CGO_ENABLED=0"}
	return r.command(ctx, append(fixed, env...), "go", args...)
}

// command runs a program in the work tree.
func (r *release) command(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // git and go
	cmd.Dir, cmd.Env = r.root, append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, stderr.Bytes())
	}
	return out, nil
}

func (r *release) writeManual(ctx context.Context, dir string) error {
	env := []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(r.date.Unix(), 10), "TZ=UTC"}
	if _, err := r.goCommand(ctx, env, "run", "-trimpath", "./server/internal/cli/manual", dir); err != nil {
		return err
	}
	names, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		r.manual = append(r.manual, file{name: filepath.ToSlash(relative), content: text})
	}
	return nil
}

// own begins the path of every module of this repository.
const own = "github.com/watchword-dev/watchword"

// readPrograms reads what Go recorded in the programs: the modules that are linked, and the commit, which is
// another one if somebody changed a file meanwhile.
func (r *release) readPrograms() error {
	for _, b := range r.built {
		info, err := buildinfo.Read(bytes.NewReader(b.program))
		if err != nil {
			return fmt.Errorf("read what is linked for %s: %w", b, err)
		}
		r.goVersion = info.GoVersion
		for _, want := range []debug.BuildSetting{{Key: "vcs.revision", Value: r.commit}, {Key: "vcs.modified", Value: "false"}} {
			if !slices.Contains(info.Settings, want) {
				return fmt.Errorf("the program for %s was not built from the commit: it does not have %s=%s", b, want.Key, want.Value)
			}
		}
		for _, m := range info.Deps {
			if m.Replace != nil {
				return fmt.Errorf("%s is replaced by %s", m.Path, m.Replace.Path)
			}
			if !strings.HasPrefix(m.Path, own) {
				r.modules = append(r.modules, *m)
			}
		}
	}
	slices.SortFunc(r.modules, func(a, b debug.Module) int { return cmp.Compare(a.Path, b.Path) })
	r.modules = slices.Compact(r.modules)
	return nil
}

// collectLicenses joins the licenses of Go and of the modules, which are to be passed on with the programs. A
// module without one is an error.
func (r *release) collectLicenses(ctx context.Context) error {
	folders, err := r.folders(ctx)
	if err != nil {
		return err
	}
	goroot, err := r.goCommand(ctx, nil, "env", "GOROOT")
	if err != nil {
		return err
	}
	folders["Go"] = strings.TrimSpace(string(goroot))
	var b strings.Builder
	b.WriteString("Watchword is under the license in LICENSE. It contains the following, under their own licenses.\n")
	for _, m := range append([]debug.Module{{Path: "Go", Version: r.goVersion}}, r.modules...) {
		texts, err := licenses(folders[m.Path])
		if err != nil {
			return fmt.Errorf("the license of %s: %w", m.Path, err)
		}
		fmt.Fprintf(&b, "\n%s\n%s %s\n\n%s\n", strings.Repeat("=", 80), m.Path, m.Version, strings.Join(texts, "\n"))
	}
	r.others = []byte(b.String())
	return nil
}

// folders finds where the linked modules are.
func (r *release) folders(ctx context.Context) (map[string]string, error) {
	args := []string{"list", "-m", "-f", "{{.Path}}\t{{.Dir}}"}
	for _, m := range r.modules {
		args = append(args, m.Path) // "all" would write to go.work.sum
	}
	out, err := r.goCommand(ctx, nil, args...)
	if err != nil {
		return nil, err
	}
	folders := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), "\t")
		folders[path] = dir
	}
	return folders, nil
}

// licenses reads the license files of a module.
func licenses(folder string) ([]string, error) {
	var texts []string
	for _, pattern := range []string{"LICEN[CS]E*", "COPYING*", "NOTICE*", "PATENTS*"} {
		names, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			texts = append(texts, string(text))
		}
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("no license file in %q", folder)
	}
	return texts, nil
}
