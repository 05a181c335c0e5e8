package main

import (
	"crypto/x509"
	"encoding/json"
	"path/filepath"
	"syscall"
	"testing"
)

// Skopeo reads the layout, checks every digest and size, and writes the image for this platform out again; what
// it wrote is unpacked and run.
func TestImageIsValidAndRunsAsItsUser(t *testing.T) {
	t.Parallel()
	needsRoot(t)
	needs(t, "skopeo")
	dir := filepath.Join(folder, t.Name())
	archive := "oci-archive:" + filepath.Join(dist(t), "watchword_"+version+"_oci.tar") + ":" + version

	var list index
	fromJSON(t, command(t, "", "skopeo", "inspect", "--raw", archive), &list)
	if len(list.Manifests) != 1 || *list.Manifests[0].Platform != (imagePlatform{"amd64", "linux"}) {
		t.Errorf("the index has %+v", list.Manifests)
	}
	command(t, "", "skopeo", "copy", "--multi-arch=all", archive, "dir:"+filepath.Join(folder, "all-images"))
	command(t, "", "skopeo", "--override-os=linux", "--override-arch=amd64", "copy", archive, "dir:"+dir)
	var image manifest
	fromJSON(t, read(t, dir, "manifest.json"), &image)
	var described struct {
		Architecture, OS string
		Config           struct {
			User            string
			Entrypoint, Cmd []string
			Env             []string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	fromJSON(t, read(t, dir, image.Config.Digest[len("sha256:"):]), &described)
	if c := described.Config; c.User != "65532:65532" || len(c.Entrypoint) != 1 || len(described.RootFS.DiffIDs) != 1 || described.Architecture != "amd64" {
		t.Fatalf("the configuration is %+v", described)
	}

	root := filepath.Join(dir, "root")
	command(t, "", "mkdir", root)
	layer := filepath.Join(dir, image.Layers[0].Digest[len("sha256:"):])
	if sum := command(t, "", "sh", "-c", `gzip -dc "$0" | sha256sum`, layer); "sha256:"+sum[:64] != described.RootFS.DiffIDs[0] {
		t.Errorf("the layer is %s, and the configuration says %s", sum, described.RootFS.DiffIDs)
	}
	command(t, "", "tar", "-C", root, "-xpzf", layer)
	inside := append([]string{"--userspec=" + described.Config.User, root}, described.Config.Entrypoint...)
	wantBuild(t, command(t, "", "chroot", append(inside, "version", "--json")...))
	wantFile(t, filepath.Join(root, "var/lib/watchword"), 0o700, userID, userID)
	if uid, gid := user(t, root, "watchword"); uid != userID || gid != userID {
		t.Errorf("the user is %d:%d", uid, gid)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(read(t, root, "etc/ssl/certs/ca-certificates.crt"))) {
		t.Error("the image has no authorities")
	}
	demo(t, []string{"TMPDIR=/tmp"}, "/", "chroot", inside...).end(syscall.SIGTERM)

	// By default it serves everybody, and so it starts only once TLS is settled.
	if out, err := tried("", "env", append([]string{"-i"}, append(append(described.Config.Env, "/usr/sbin/chroot"), append(inside, described.Config.Cmd...)...)...)...); err == nil {
		t.Errorf("it started without TLS: %s", out)
	}
}

func fromJSON(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
