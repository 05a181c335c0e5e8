package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// file is a file of an archive, or a folder when its name ends in a slash.
type file struct {
	name    string
	mode    fs.FileMode // 0o644 when it is 0, and 0o755 of a folder
	owner   string      // root when it is empty
	group   string      // root when it is empty
	config  bool        // a package system keeps the operator's version of it
	content []byte
}

func (f file) isFolder() bool { return strings.HasSuffix(f.name, "/") }

func (f file) perm() fs.FileMode {
	if f.isFolder() {
		return cmp.Or(f.mode, 0o755)
	}
	return cmp.Or(f.mode, 0o644)
}

// under returns files below a folder.
func under(folder string, files []file) []file {
	moved := slices.Clone(files)
	for i := range moved {
		moved[i].name = path.Join(folder, moved[i].name)
	}
	return moved
}

// withFolders adds the folders that lead to files, and sorts, so that a folder comes before what is in it.
func withFolders(files []file) []file {
	all := map[string]file{}
	for _, f := range files {
		for dir := path.Dir(strings.TrimSuffix(f.name, "/")); dir != "."; dir = path.Dir(dir) {
			if _, known := all[dir+"/"]; !known {
				all[dir+"/"] = file{name: dir + "/"}
			}
		}
		all[f.name] = f
	}
	return slices.SortedFunc(maps.Values(all), byName)
}

func byName(a, b file) int { return cmp.Compare(a.name, b.name) }

// userID is the user and the group of every owner but root, where ids count and names do not.
const userID = 65532

// tar packs files, sorted, with the date of the release.
func (r *release) tar(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range slices.SortedFunc(slices.Values(files), byName) {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.name, Mode: int64(f.perm()), Size: int64(len(f.content)), ModTime: r.date,
			Uname: cmp.Or(f.owner, "root"), Gname: cmp.Or(f.group, "root"),
		}
		if f.isFolder() {
			h.Typeflag = tar.TypeDir
		}
		if f.owner != "" {
			h.Uid = userID
		}
		if f.group != "" {
			h.Gid = userID
		}
		if f.mode&fs.ModeSticky != 0 {
			h.Mode = int64(f.mode.Perm()) | 0o1000
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

func (r *release) tarGzip(files []file) ([]byte, error) {
	packed, err := r.tar(files)
	if err != nil {
		return nil, err
	}
	return compress(packed)
}

// compress leaves the name and the time in the header empty.
func compress(content []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	err := w.Close()
	return out.Bytes(), err
}

func (r *release) zip(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range slices.SortedFunc(slices.Values(files), byName) {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: r.date}
		h.SetMode(f.perm())
		entry, err := w.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := entry.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// archiveName is also the folder in the archive, without its ending.
func (r *release) archiveName(b built) string {
	name := fmt.Sprintf("watchword_%s_%s_%s", r.version, b.os, b.arch)
	if b.os == "windows" {
		return name + ".zip"
	}
	return name + ".tar.gz"
}

// archive is for use without installation: the program and what belongs to it in a folder.
func (r *release) archive(b built) ([]byte, error) {
	files := append([]file{
		{name: b.platform.program(), mode: 0o755, content: b.program},
		{name: "LICENSE", content: r.license},
		{name: "THIRD_PARTY_LICENSES", content: r.others},
		{name: "README.md", content: r.readme},
	}, r.manual...)
	name := r.archiveName(b)
	if folder, isZip := strings.CutSuffix(name, ".zip"); isZip {
		return r.zip(under(folder, files))
	}
	return r.tarGzip(under(strings.TrimSuffix(name, ".tar.gz"), files))
}

// checksums is what "sha256sum --check" reads.
func checksums(files map[string][]byte) []byte {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&out, "%s  %s\n", digest(files[name]), name)
	}
	return out.Bytes()
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
