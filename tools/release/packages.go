package main

import (
	"bytes"
	"cmp"
	"crypto/md5" //nolint:gosec // what dpkg checks for damage; it is no protection
	"embed"
	"fmt"
	"strings"

	"github.com/google/rpmpack"
)

// texts are the files of packages that are written by hand.
//
//go:embed package
var texts embed.FS

func text(name string) []byte {
	content, err := texts.ReadFile("package/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	return content
}

const (
	homepage   = "https://github.com/watchword-dev/watchword"
	maintainer = "Watchword <security@watchword.dev>"
	summary    = "machine-to-machine authorization server"
	describes  = `Watchword issues short-lived signed tokens to services, keeps the map of who
may call whom, and publishes the keys with which every service checks a token
by itself.`
)

// installed are the files of a package, with the names they get on the system.
func (r *release) installed(b built, zsh, license string) ([]file, error) {
	files := []file{
		{name: "usr/bin/watchword", mode: 0o755, content: b.program},
		{name: "usr/lib/systemd/system/watchword.service", content: text("watchword.service")},
		{name: "etc/watchword/watchword.yaml", mode: 0o640, group: "watchword", config: true, content: text("watchword.yaml")},
		{name: "var/lib/watchword/", mode: 0o700, owner: "watchword", group: "watchword"},
		{name: license, content: r.license},
		{name: "usr/share/doc/watchword/THIRD_PARTY_LICENSES", content: r.others},
		{name: "usr/share/doc/watchword/README.md", content: r.readme},
	}
	for _, f := range r.manual {
		switch folder, name, _ := strings.Cut(f.name, "/"); {
		case folder == "man1":
			packed, err := compress(f.content)
			if err != nil {
				return nil, err
			}
			files = append(files, file{name: "usr/share/man/man1/" + name + ".gz", content: packed})
		case name == "watchword.bash":
			files = append(files, file{name: "usr/share/bash-completion/completions/watchword", content: f.content})
		case name == "watchword.fish":
			files = append(files, file{name: "usr/share/fish/vendor_completions.d/watchword.fish", content: f.content})
		case name == "watchword.zsh":
			files = append(files, file{name: zsh, content: f.content})
		}
	}
	return files, nil
}

// deb makes a package for Debian: an ar archive of two tar archives (deb(5)).
func (r *release) deb(b built) ([]byte, error) {
	files, err := r.installed(b, "usr/share/zsh/vendor-completions/_watchword", "usr/share/doc/watchword/copyright")
	if err != nil {
		return nil, err
	}
	files = withFolders(files)
	var sums, conffiles strings.Builder
	size := 0
	for i, f := range files {
		if !f.isFolder() {
			fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.content), f.name) //nolint:gosec // as above
		}
		if f.config {
			fmt.Fprintf(&conffiles, "/%s\n", f.name)
		}
		size += (len(f.content) + 1023) / 1024
		files[i].name = "./" + f.name
	}
	control := fmt.Sprintf(`Package: watchword
Version: %s-1
Section: net
Priority: optional
Architecture: %s
Maintainer: %s
Installed-Size: %d
Pre-Depends: passwd
Recommends: ca-certificates
Homepage: %s
Description: %s
 %s
`, r.packageVersion(), b.arch, maintainer, size, homepage, summary, strings.ReplaceAll(describes, "\n", "\n "))
	info, err := r.tarGzip([]file{
		{name: "./control", content: []byte(control)},
		{name: "./md5sums", content: []byte(sums.String())},
		{name: "./conffiles", content: []byte(conffiles.String())},
		{name: "./preinst", mode: 0o755, content: text("preinst")},
		{name: "./postinst", mode: 0o755, content: text("postinst")},
		{name: "./prerm", mode: 0o755, content: text("prerm")},
		{name: "./postrm", mode: 0o755, content: text("postrm")},
	})
	if err != nil {
		return nil, err
	}
	data, err := r.tarGzip(files)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBufferString("!<arch>\n")
	for _, m := range []file{{name: "debian-binary", content: []byte("2.0\n")}, {name: "control.tar.gz", content: info}, {name: "data.tar.gz", content: data}} {
		fmt.Fprintf(out, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", m.name, r.date.Unix(), 0, 0, 0o100644, len(m.content))
		out.Write(m.content)
		if len(m.content)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes(), nil
}

var rpmArch = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// scriptPre is the flag of what the script before the installation needs (RPMSENSE_SCRIPT_PRE).
const scriptPre = 1 << 9

func (r *release) rpm(b built) ([]byte, error) {
	files, err := r.installed(b, "usr/share/zsh/site-functions/_watchword", "usr/share/licenses/watchword/LICENSE")
	if err != nil {
		return nil, err
	}
	p, err := rpmpack.NewRPM(rpmpack.RPMMetaData{
		Name: "watchword", Version: r.packageVersion(), Release: "1", Arch: rpmArch[b.arch], OS: "linux",
		Summary: summary, Description: describes, Licence: "Apache-2.0", URL: homepage, Packager: maintainer, Group: "System Environment/Daemons",
		BuildTime: r.date, BuildHost: "watchword.dev", Compressor: "gzip", Epoch: rpmpack.NoEpoch,
		Requires:   rpmpack.Relations{{Name: "/usr/sbin/useradd", Sense: scriptPre}, {Name: "/usr/bin/getent", Sense: scriptPre}},
		Recommends: rpmpack.Relations{{Name: "ca-certificates"}},
	})
	if err != nil {
		return nil, err
	}
	// Only folders that no other package has: the others are the system's.
	files = append(files, file{name: "etc/watchword/"}, file{name: "usr/share/doc/watchword/"}, file{name: "usr/share/licenses/watchword/"})
	for _, f := range files {
		entry := rpmpack.RPMFile{
			Name: "/" + strings.TrimSuffix(f.name, "/"), Body: f.content, Mode: uint(f.perm()), Owner: cmp.Or(f.owner, "root"), Group: cmp.Or(f.group, "root"),
			MTime: uint32(r.date.Unix()),
		}
		if f.isFolder() {
			entry.Mode |= 0o40000
		}
		if f.config {
			entry.Type = rpmpack.ConfigFile | rpmpack.NoReplaceFile
		}
		p.AddFile(entry)
	}
	p.AddPrein(string(text("preinst")))
	p.AddPostin(string(text("postinst")))
	p.AddPreun(string(text("prerm")))
	p.AddPostun(string(text("postrm")))
	var out bytes.Buffer
	err = p.Write(&out)
	return out.Bytes(), err
}
