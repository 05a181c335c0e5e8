package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestSBOMIsValidAndListsWhatIsLinked(t *testing.T) {
	t.Parallel()
	text := read(t, dist(t), "watchword_"+version+".cdx.json")

	// The schemas of CycloneDX come with its Go module.
	dir := strings.TrimSpace(command(t, "..", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"))
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		schema, err := os.ReadFile(filepath.Join(dir, "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, parsed); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(instance); err != nil {
		t.Error(err)
	}

	var bom struct {
		Components []struct{ PURL string }
	}
	if err := json.Unmarshal([]byte(text), &bom); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, c := range bom.Components {
		listed[c.PURL] = true
	}
	unpacked := t.TempDir()
	command(t, unpacked, "tar", "--strip-components=1", "-xzf", filepath.Join(dist(t), "watchword_"+version+"_linux_amd64.tar.gz"))
	linked := 0
	for line := range strings.Lines(command(t, unpacked, "go", "version", "-m", "watchword")) {
		if f := strings.Fields(line); f[0] == "dep" && !strings.HasPrefix(f[1], own) {
			linked++
			if !listed["pkg:golang/"+f[1]+"@"+f[2]] {
				t.Errorf("%s %s is linked and not listed", f[1], f[2])
			}
			if !strings.Contains(read(t, unpacked, "THIRD_PARTY_LICENSES"), "\n"+f[1]+" "+f[2]+"\n") {
				t.Errorf("the license of %s is not there", f[1])
			}
		}
	}
	if linked < 10 {
		t.Errorf("go version lists only %d modules", linked)
	}
}
