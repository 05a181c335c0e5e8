package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The media types of the OCI image specification 1.1.
const (
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// descriptor names a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *imagePlatform    `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type imagePlatform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// index is a list of images, of manifest is one.
type index struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Manifests     []descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type imageConfig struct {
	Created string `json:"created"`
	imagePlatform
	Config struct {
		User         string
		ExposedPorts map[string]struct{}
		Env          []string
		Entrypoint   []string
		Cmd          []string
		Volumes      map[string]struct{}
		WorkingDir   string
		Labels       map[string]string
		StopSignal   string
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	History []history `json:"history"`
}

type history struct {
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

// layout is an OCI image layout, whose blobs are files named by their digests.
type layout struct{ files []file }

func (l *layout) add(mediaType string, content []byte) descriptor {
	sum := digest(content)
	l.files = append(l.files, file{name: "blobs/sha256/" + sum, content: content})
	return descriptor{MediaType: mediaType, Digest: "sha256:" + sum, Size: len(content)}
}

func (l *layout) addJSON(mediaType string, v any) (descriptor, error) {
	content, err := json.Marshal(v)
	return l.add(mediaType, content), err
}

// image makes an archive of an OCI image layout with one image a Linux platform. The images have nothing but the
// program and what it needs: certificates of authorities, a user, a folder of its own and one for temporary files.
func (r *release) image() ([]byte, error) {
	annotations := map[string]string{
		"org.opencontainers.image.title": "watchword", "org.opencontainers.image.description": summary,
		"org.opencontainers.image.version": r.version, "org.opencontainers.image.revision": r.commit,
		"org.opencontainers.image.created": r.date.Format(time.RFC3339), "org.opencontainers.image.source": homepage,
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	var l layout
	all := index{SchemaVersion: 2, MediaType: mediaIndex, Annotations: annotations}
	for _, b := range r.built {
		if b.os != "linux" {
			continue
		}
		one, err := r.addImage(&l, b, annotations)
		if err != nil {
			return nil, err
		}
		all.Manifests = append(all.Manifests, one)
	}
	// Readers look for one thing to take in index.json: the index of all platforms.
	nested, err := l.addJSON(mediaIndex, all)
	if err != nil {
		return nil, err
	}
	nested.Annotations = map[string]string{"org.opencontainers.image.ref.name": r.version}
	outer, err := json.Marshal(index{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []descriptor{nested}})
	if err != nil {
		return nil, err
	}
	return r.tar(withFolders(append(l.files,
		file{name: "oci-layout", content: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		file{name: "index.json", content: outer},
	)))
}

func (r *release) addImage(l *layout, b built, annotations map[string]string) (descriptor, error) {
	packed, err := r.tar(withFolders([]file{
		{name: "usr/bin/watchword", mode: 0o755, content: b.program},
		{name: "usr/share/doc/watchword/LICENSE", content: r.license},
		{name: "usr/share/doc/watchword/THIRD_PARTY_LICENSES", content: r.others},
		{name: "etc/passwd", content: fmt.Appendf(nil, "root:x:0:0::/:\nwatchword:x:%d:%d::/var/lib/watchword:\n", userID, userID)},
		{name: "etc/group", content: fmt.Appendf(nil, "root:x:0:\nwatchword:x:%d:\n", userID)},
		{name: "etc/ssl/certs/ca-certificates.crt", content: authorities()},
		{name: "var/lib/watchword/", mode: 0o700, owner: "watchword", group: "watchword"},
		{name: "tmp/", mode: 0o777 | fs.ModeSticky},
	}))
	if err != nil {
		return descriptor{}, err
	}
	compressed, err := compress(packed)
	if err != nil {
		return descriptor{}, err
	}
	layer := l.add(mediaLayer, compressed)

	config := imageConfig{Created: r.date.Format(time.RFC3339), imagePlatform: imagePlatform{b.arch, b.os}}
	config.Config.User = fmt.Sprintf("%d:%d", userID, userID) // Kubernetes checks runAsNonRoot by the number
	config.Config.ExposedPorts = map[string]struct{}{"8000/tcp": {}, "8010/tcp": {}}
	// On the container's loopback nobody would reach it. Whether TLS ends in front of it is the operator's to say.
	config.Config.Env = []string{"PATH=/usr/bin", "WATCHWORD_DATA=/var/lib/watchword", "WATCHWORD_LISTEN=0.0.0.0:8000"}
	config.Config.Entrypoint, config.Config.Cmd = []string{"/usr/bin/watchword"}, []string{"serve"}
	config.Config.Volumes = map[string]struct{}{"/var/lib/watchword": {}}
	config.Config.WorkingDir, config.Config.StopSignal = "/var/lib/watchword", "SIGTERM"
	config.Config.Labels = annotations
	config.RootFS.Type, config.RootFS.DiffIDs = "layers", []string{"sha256:" + digest(packed)}
	config.History = []history{{config.Created, "make release"}}
	described, err := l.addJSON(mediaConfig, config)
	if err != nil {
		return descriptor{}, err
	}
	one, err := l.addJSON(mediaManifest, manifest{2, mediaManifest, described, []descriptor{layer}, annotations})
	one.Platform = &config.imagePlatform
	return one, err
}

// authorities are those that Mozilla trusts without conditions, which a file cannot say.
func authorities() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // into memory
		}
	}
	return out.Bytes()
}
