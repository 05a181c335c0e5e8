package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// debian makes a root of the essential packages of this machine's Debian or Ubuntu, and no others but what makes
// users. They come from where apt gets them here, since other servers may be out of reach.
var debian = sync.OnceValues(func() (string, error) {
	system, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	release := regexp.MustCompile(`(?m)^VERSION_CODENAME=(\w+)$`).FindSubmatch(system)
	vendor := regexp.MustCompile(`(?m)^NAME="?(\w+)`).FindSubmatch(system)
	if release == nil || vendor == nil {
		return "", fmt.Errorf("no name in /etc/os-release: %s", system)
	}
	source, err := tried("", "apt-get", "indextargets", "--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages",
		"Component: main", "Codename: "+string(release[1]), "Origin: "+string(vendor[1]))
	if err != nil {
		return "", err
	}
	root := filepath.Join(folder, "debian")
	args := []string{"--variant=essential", "--include=passwd", `--aptopt=Acquire::Retries "3"`, string(release[1]), root}
	if source != "" { // it is empty before the first apt-get update; mmdebstrap has a default
		args = append(args, strings.TrimSpace(source))
	}
	if _, err = tried("", "mmdebstrap", args...); err != nil {
		err = fmt.Errorf("no clean root could be made, which needs root and the package server of %s: %w", vendor[1], err)
	}
	return root, err
})

func cleanRoot(t *testing.T) string {
	t.Helper()
	needsRoot(t)
	needs(t, "mmdebstrap")
	root, err := debian()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(folder, t.Name())
	command(t, "", "cp", "-a", root, copied)
	return copied
}

// user reads the ids of a user from the root's own list.
func user(t *testing.T, root, name string) (uid, gid uint32) {
	t.Helper()
	for line := range strings.Lines(read(t, root, "etc/passwd")) {
		if f := strings.Split(line, ":"); f[0] == name {
			if _, err := fmt.Sscan(f[2]+" "+f[3], &uid, &gid); err != nil {
				t.Fatal(err)
			}
			return uid, gid
		}
	}
	t.Fatalf("there is no user %s in %s", name, root)
	return 0, 0
}

func TestDebInstallsAndRunsInACleanRoot(t *testing.T) {
	t.Parallel()
	root := cleanRoot(t)
	command(t, "", "cp", filepath.Join(dist(t), "watchword_"+packageVersion+"-1_amd64.deb"), filepath.Join(root, "watchword.deb"))
	said := command(t, "", "chroot", root, "dpkg", "--install", "/watchword.deb")
	if !strings.Contains(said, "systemctl enable --now watchword") {
		t.Errorf("the installation says %s", said)
	}

	// Nothing is started, and nothing will be.
	if enabled, _ := filepath.Glob(filepath.Join(root, "etc/systemd/system/*/watchword*")); len(enabled) > 0 {
		t.Errorf("the installation enabled %q", enabled)
	}
	if left, _ := os.ReadDir(filepath.Join(root, "var/lib/watchword")); len(left) > 0 {
		t.Errorf("the installation started the server, which made %v", left)
	}
	uid, gid := user(t, root, "watchword")
	wantFile(t, filepath.Join(root, "etc/watchword/watchword.yaml"), 0o640, 0, gid)
	wantFile(t, filepath.Join(root, "var/lib/watchword"), 0o700, uid, gid)
	wantFile(t, filepath.Join(root, "usr/bin/watchword"), 0o755, 0, 0)
	for _, name := range []string{"man/man1/watchword-serve.1.gz", "bash-completion/completions/watchword", "zsh/vendor-completions/_watchword", "fish/vendor_completions.d/watchword.fish"} {
		wantFile(t, filepath.Join(root, "usr/share", name), 0o644, 0, 0)
	}
	wantBuild(t, command(t, "", "chroot", "--userspec=watchword:watchword", root, "/usr/bin/watchword", "version", "--json"))
	p := demo(t, []string{"TMPDIR=/tmp"}, "/", "chroot", "--userspec=watchword:watchword", root, "watchword")
	wantRules(t, command(t, "", "chroot", "--userspec=watchword:watchword", root, "sh", "-c", p.rules))
	p.end(syscall.SIGTERM)

	// The server with the configuration of the package, as the unit runs it.
	public, operators := freeAddress(t), freeAddress(t)
	unit := read(t, root, "usr/lib/systemd/system/watchword.service")
	line := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(unit)
	args := append([]string{"--userspec=watchword:watchword", root}, strings.Fields(line[1])...)
	args = append(args, "--listen", public, "--issuer", "http://"+public, "--admin-listen", operators)
	server, _ := start(t, nil, "/", regexp.MustCompile(`msg=ready`), "chroot", args...)
	var status struct {
		Ready bool
		Info  struct{ Version, Commit string }
	}
	answer := command(t, "", "env", "WATCHWORD_CONFIG=/etc/watchword/watchword.yaml", "chroot", "--userspec=watchword:watchword", root,
		"watchword", "status", "--json", "--admin-url", "http://"+operators)
	if err := json.Unmarshal([]byte(answer), &status); err != nil || !status.Ready || status.Info.Version != "v"+version || len(status.Info.Commit) != 40 {
		t.Errorf("status: got %s, %v", answer, err)
	}
	server.end(syscall.SIGTERM)
	wantFile(t, filepath.Join(root, "var/lib/watchword/watchword.db"), 0o600, uid, gid)

	// What the operator changed and what the server keeps outlive an upgrade, a removal and a purge.
	config := filepath.Join(root, "etc/watchword/watchword.yaml")
	if err := os.WriteFile(config, []byte("data: /var/lib/watchword\nlog: {format: json}\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	command(t, "", "chroot", root, "dpkg", "--install", "/watchword.deb")
	if text := read(t, root, "etc/watchword/watchword.yaml"); !strings.Contains(text, "json") {
		t.Errorf("the upgrade replaced the configuration with %s", text)
	}
	said = command(t, "", "chroot", root, "dpkg", "--remove", "watchword")
	if !strings.Contains(said, "still in /var/lib/watchword") {
		t.Errorf("the removal says %s", said)
	}
	wantFile(t, config, 0o640, 0, gid)
	command(t, "", "chroot", root, "dpkg", "--purge", "watchword")
	if _, err := os.Stat(config); err == nil {
		t.Error("the purge left the configuration")
	}
	wantFile(t, filepath.Join(root, "var/lib/watchword/watchword.db"), 0o600, uid, gid)
}

// freeAddress is one that nobody listened at a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

func TestRPMInstallsInACleanRoot(t *testing.T) {
	t.Parallel()
	root := cleanRoot(t)
	needs(t, "rpm")
	name := filepath.Join(dist(t), "watchword-"+packageVersion+"-1.x86_64.rpm")
	command(t, "", "rpm", "--checksig", name)
	listed := command(t, "", "rpm", "--query", "--package", "--queryformat", "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILEFLAGS:fflags} %{FILENAMES}\n]", name)
	for _, want := range []string{
		"-rwxr-xr-x root root  /usr/bin/watchword\n",
		"-rw-r----- root watchword cn /etc/watchword/watchword.yaml\n",
		"drwx------ watchword watchword  /var/lib/watchword\n",
		"-rw-r--r-- root root  /usr/lib/systemd/system/watchword.service\n",
		"-rw-r--r-- root root  /usr/share/man/man1/watchword-serve.1.gz\n",
		"-rw-r--r-- root root  /usr/share/zsh/site-functions/_watchword\n",
	} {
		if !strings.Contains(listed, want) {
			t.Errorf("the package lacks %sin\n%s", want, listed)
		}
	}
	// The root is Debian's, which has what the package requires under no name that RPM knows.
	said := command(t, "", "rpm", "--root", root, "--install", "--nodeps", name)
	if !strings.Contains(said, "systemctl enable --now watchword") {
		t.Errorf("the installation says %s", said)
	}
	uid, gid := user(t, root, "watchword")
	wantFile(t, filepath.Join(root, "etc/watchword/watchword.yaml"), 0o640, 0, gid)
	wantFile(t, filepath.Join(root, "var/lib/watchword"), 0o700, uid, gid)
	wantBuild(t, command(t, "", "chroot", "--userspec=watchword:watchword", root, "/usr/bin/watchword", "version", "--json"))
	command(t, "", "rpm", "--root", root, "--verify", "--nodeps", "watchword")
	command(t, "", "rpm", "--root", root, "--erase", "--nodeps", "watchword")
	if _, err := os.Stat(filepath.Join(root, "usr/bin/watchword")); err == nil {
		t.Error("the removal left the program")
	}
}

// The unit names what the server may do; this runs the server in the demo, as a user without rights, and compares.
func TestUnitPermitsEverySystemCallOfTheServer(t *testing.T) {
	t.Parallel()
	needs(t, "systemd-analyze", "strace", "dpkg-deb")
	dir := filepath.Join(folder, t.Name())
	command(t, "", "dpkg-deb", "--extract", filepath.Join(dist(t), "watchword_"+packageVersion+"-1_amd64.deb"), dir)
	program := filepath.Join(dir, "usr/bin/watchword")
	unit := strings.Replace(read(t, dir, "usr/lib/systemd/system/watchword.service"), "/usr/bin/watchword", program, 1)
	copied := filepath.Join(dir, "watchword.service")
	if err := os.WriteFile(copied, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := command(t, "", "systemd-analyze", "--man=no", "verify", copied); said != "" {
		t.Errorf("the unit: %s", said)
	}
	// The exposure is from 0 to 10, said in tenths here; that of a unit which restricts nothing is 9.6.
	command(t, "", "systemd-analyze", "security", "--offline=true", "--threshold=15", copied)

	work := filepath.Join(dir, "work")
	command(t, "", "install", "-d", "-m", "0777", work)
	trace := filepath.Join(work, "trace")
	// With -D the demo is the child, and strace its grandchild.
	args := []string{"-D", "-f", "-qq", "-o", trace, program}
	if os.Getuid() == 0 {
		args = append([]string{"--reuid=65532", "--regid=65532", "--clear-groups", "strace"}, args...)
		demo(t, []string{"TMPDIR=" + work}, work, "setpriv", args...).end(syscall.SIGTERM)
	} else {
		demo(t, []string{"TMPDIR=" + work}, work, "strace", args...).end(syscall.SIGTERM)
	}
	allowed := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(unit, -1) {
		for _, group := range strings.Fields(line[2]) {
			for _, name := range systemCalls(t, group) {
				allowed[name] = line[1] == ""
			}
		}
	}
	families := regexp.MustCompile(`(?m)^RestrictAddressFamilies=(.*)$`).FindStringSubmatch(unit)
	lines := regexp.MustCompile(`(?m)^\d+ +(\w+)\((\w*)`).FindAllStringSubmatch(read(t, work, "trace"), -1)
	if len(lines) < 1000 {
		t.Errorf("the trace has only %d calls", len(lines))
	}
	for _, call := range lines {
		if name := call[1]; !allowed[name] {
			t.Errorf("the server calls %s, which the unit does not permit", name)
			allowed[name] = true // say it once
		} else if name == "socket" && !slices.Contains(strings.Fields(families[1]), call[2]) {
			t.Errorf("the server opens a socket of %s, which the unit does not permit", call[2])
		}
	}
}

// systemCalls lists the calls of one of systemd's groups, whose names begin with @.
func systemCalls(t *testing.T, group string) (names []string) {
	t.Helper()
	for line := range strings.Lines(command(t, "", "systemd-analyze", "syscall-filter", group)) {
		switch name := strings.TrimSpace(line); {
		case name == group || name == "" || strings.HasPrefix(name, "#"):
		case strings.HasPrefix(name, "@"):
			names = append(names, systemCalls(t, name)...)
		default:
			names = append(names, name)
		}
	}
	return names
}
