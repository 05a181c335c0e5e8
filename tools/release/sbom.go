package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom lists what is inside the programs, as CycloneDX 1.6: what Go recorded when it linked them, and the bundle
// of authorities in the image.
func (r *release) sbom() ([]byte, error) {
	main := cdx.Component{
		BOMRef: "watchword", Type: cdx.ComponentTypeApplication, Name: "watchword", Version: "v" + r.version, Description: summary,
		PackageURL:         "pkg:golang/" + own + "/server@v" + r.version,
		Licenses:           &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		ExternalReferences: &[]cdx.ExternalReference{{Type: cdx.ERTypeVCS, URL: homepage, Comment: "commit " + r.commit}},
	}
	var programs []cdx.Component
	for _, b := range r.built {
		programs = append(programs, cdx.Component{
			BOMRef: "program " + b.String(), Type: cdx.ComponentTypeFile, Name: b.platform.program() + " for " + b.String(),
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: digest(b.program)}},
		})
	}
	main.Components = &programs

	modules := append([]debug.Module{{Path: "std", Version: strings.TrimPrefix(r.goVersion, "go")}}, r.modules...)
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range build.Deps {
			if m.Path == "golang.org/x/crypto/x509roots/fallback" {
				modules = append(modules, *m)
			}
		}
	}
	var components []cdx.Component
	var refs []string
	for _, m := range modules {
		ref := "pkg:golang/" + m.Path + "@" + m.Version
		refs = append(refs, ref)
		components = append(components, cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: ref})
	}
	id := sha256.Sum256([]byte(r.commit + r.version))
	bom := cdx.NewBOM()
	bom.SerialNumber = uuid(id[:16])
	bom.Metadata = &cdx.Metadata{Timestamp: r.date.Format(time.RFC3339), Component: &main}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	var out bytes.Buffer
	err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	return out.Bytes(), err
}

// uuid makes one of bits of our choice (RFC 9562, section 5.8).
func uuid(bits []byte) string {
	bits[6], bits[8] = bits[6]&0x0f|0x80, bits[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", bits[:4], bits[4:6], bits[6:8], bits[8:10], bits[10:16])
}
