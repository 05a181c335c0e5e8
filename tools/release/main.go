// Release builds everything that a release of Watchword consists of from a clean work tree: archives, packages
// for Debian and RPM systems and for npm, an image for containers, a list of what is inside, and checksums.
//
//	release [-root .] [-out dist] [-platforms linux/amd64,windows/amd64]
//
// Two runs at the same commit with the same version of Go write the same bytes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// platform is one that Watchword is released for.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

// program is the name of the executable file.
func (p platform) program() string {
	if p.os == "windows" {
		return "watchword.exe"
	}
	return "watchword"
}

var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	root := flags.String("root", ".", "the work tree")
	out := flags.String("out", "dist", "the folder to write to, which must be empty or missing")
	names := flags.String("platforms", "", "only these, separated by commas")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*names)
	if err != nil {
		return err
	}
	if found, err := os.ReadDir(*out); err == nil && len(found) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not an empty folder: %w", *out, errors.Join(err, fs.ErrExist))
	}
	r, err := describe(ctx, *root)
	if err != nil {
		return err
	}
	start := time.Now()
	r.progress = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%4.0f s  "+format+"\n", append([]any{time.Since(start).Seconds()}, args...)...)
	}
	r.progress("release %s of commit %s, %s", r.version, r.commit, r.date.Format("2006-01-02 15:04Z"))
	if err := r.build(ctx, chosen); err != nil {
		return err
	}
	artifacts, err := r.artifacts()
	if err != nil {
		return err
	}
	if err := write(*out, artifacts); err != nil {
		return err
	}
	r.progress("%d files are in %s", len(artifacts), *out)
	return nil
}

// choose reads a list of platforms. An empty one means all.
func choose(names string) ([]platform, error) {
	if names == "" {
		return platforms, nil
	}
	var chosen []platform
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(platforms, func(p platform) bool { return p.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("%q is none of %v", name, platforms)
		}
		chosen = append(chosen, platforms[i])
	}
	return chosen, nil
}

// artifacts makes all files of the release from what was built.
func (r *release) artifacts() (map[string][]byte, error) {
	made := map[string][]byte{}
	var failed error
	add := func(name string, content []byte, err error) {
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("make %s: %w", name, err))
		}
		made[name] = content
		r.progress("%s, %d kB", name, (len(content)+999)/1000)
	}
	name := "watchword_" + r.version
	for _, b := range r.built {
		content, err := r.archive(b)
		add(r.archiveName(b), content, err)
		content, err = r.npmProgram(b)
		add(path.Base(npmFile(b.npmName(), r.version)), content, err)
		if b.os == "linux" {
			content, err = r.deb(b)
			add(fmt.Sprintf("watchword_%s-1_%s.deb", r.packageVersion(), b.arch), content, err)
			content, err = r.rpm(b)
			add(fmt.Sprintf("watchword-%s-1.%s.rpm", r.packageVersion(), rpmArch[b.arch]), content, err)
		}
	}
	content, err := r.npmLauncher()
	add(npmFile("watchword", r.version), content, err)
	content, err = r.image()
	add(name+"_oci.tar", content, err)
	content, err = r.sbom()
	add(name+".cdx.json", content, err)
	made["SHA256SUMS"] = checksums(made)
	return made, failed
}

func write(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // everybody may read a release
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	return nil
}
