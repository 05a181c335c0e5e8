// Package buildinfo reports which build of Watchword this is.
package buildinfo

import (
	"cmp"
	"crypto/fips140"
	"runtime"
	"runtime/debug"
	"time"
)

// version is set by the linker in a release: see tools/release.
var version string

// Info describes the running program.
type Info struct {
	// Version is that of the release, such as v0.1.0, else that of the module, else devel.
	Version string `json:"version"`
	// Commit is the revision it was built from, with -dirty behind it when the files were not those of the
	// commit. It is empty when the program was not built in a work tree.
	Commit string `json:"commit,omitempty"`
	// Date is that of the commit.
	Date time.Time `json:"date,omitzero"`
	// Go is the version of Go it was built with.
	Go string `json:"go"`
	// Platform is the operating system and the architecture, such as linux/amd64.
	Platform string `json:"platform"`
	// FIPS reports whether the cryptography runs in FIPS 140-3 mode.
	FIPS bool `json:"fips"`
}

// Read describes the running program.
func Read() Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	info := from(build, version)
	info.FIPS = fips140.Enabled()
	return info
}

// from reads what Go records in every program. A version of the linker comes first.
func from(build *debug.BuildInfo, linked string) Info {
	settings := map[string]string{}
	for _, s := range build.Settings {
		settings[s.Key] = s.Value
	}
	module := build.Main.Version
	if module == "(devel)" {
		module = ""
	}
	info := Info{
		Version:  cmp.Or(linked, module, "devel"),
		Commit:   settings["vcs.revision"],
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info.Commit != "" && settings["vcs.modified"] == "true" {
		info.Commit += "-dirty"
	}
	info.Date, _ = time.Parse(time.RFC3339, settings["vcs.time"]) // the zero time when there is none
	return info
}
