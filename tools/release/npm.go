package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// npmPlatforms has the names of Node.js: process.platform and process.arch.
var npmPlatforms = map[platform][2]string{
	{"linux", "amd64"}:   {"linux", "x64"},
	{"linux", "arm64"}:   {"linux", "arm64"},
	{"darwin", "amd64"}:  {"darwin", "x64"},
	{"darwin", "arm64"}:  {"darwin", "arm64"},
	{"windows", "amd64"}: {"win32", "x64"},
}

func (p platform) npmName() string {
	node := npmPlatforms[p]
	return fmt.Sprintf("@watchword/cli-%s-%s", node[0], node[1])
}

// npmFile is the name that "npm pack" gives to a package.
func npmFile(name, version string) string {
	return strings.NewReplacer("@", "", "/", "-").Replace(name) + "-" + version + ".tgz"
}

// npmPackage is package.json.
type npmPackage struct {
	Name                 string            `json:"name"`
	Version              string            `json:"version"`
	Description          string            `json:"description"`
	Homepage             string            `json:"homepage"`
	Repository           map[string]string `json:"repository"`
	License              string            `json:"license"`
	Bin                  map[string]string `json:"bin,omitempty"`
	Engines              map[string]string `json:"engines,omitempty"`
	OS                   []string          `json:"os,omitempty"`
	CPU                  []string          `json:"cpu,omitempty"`
	OptionalDependencies map[string]string `json:"optionalDependencies,omitempty"`
}

func (r *release) npm(p npmPackage, files ...file) ([]byte, error) {
	p.Version, p.Homepage, p.License = r.version, homepage, "Apache-2.0"
	p.Repository = map[string]string{"type": "git", "url": "git+" + homepage + ".git"}
	var described bytes.Buffer
	enc := json.NewEncoder(&described)
	enc.SetEscapeHTML(false) // ">=18"
	enc.SetIndent("", "  ")
	if err := enc.Encode(p); err != nil {
		return nil, err
	}
	return r.tarGzip(under("package", append(files, file{name: "package.json", content: described.Bytes()}, file{name: "LICENSE", content: r.license})))
}

// npmProgram makes the package that has the program for one platform. npm installs it there only.
func (r *release) npmProgram(b built) ([]byte, error) {
	node := npmPlatforms[b.platform]
	return r.npm(npmPackage{
		Name: b.npmName(), Description: "The program of the package watchword for " + node[0] + " " + node[1], OS: node[:1], CPU: node[1:],
	}, file{name: "bin/" + b.platform.program(), mode: 0o755, content: b.program}, file{name: "THIRD_PARTY_LICENSES", content: r.others},
		file{name: "README.md", content: []byte("The program for one platform. Install the package watchword instead.\n")})
}

// npmLauncher makes the package that people install. It needs one of the others, whichever fits the machine.
func (r *release) npmLauncher() ([]byte, error) {
	programs := map[string]string{}
	for _, p := range platforms {
		programs[p.npmName()] = r.version
	}
	return r.npm(npmPackage{
		Name: "watchword", Description: summary, Bin: map[string]string{"watchword": "launch.js"},
		Engines: map[string]string{"node": ">=18"}, OptionalDependencies: programs,
	}, file{name: "launch.js", mode: 0o755, content: text("launch.js")}, file{name: "README.md", content: r.readme})
}
