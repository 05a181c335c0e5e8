package admin

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write openapi.json anew")

//go:generate go test -run TestCommittedOpenAPIDocumentIsFresh -update .

func TestCommittedOpenAPIDocumentIsFresh(t *testing.T) {
	got := New(Options{}).(*handlers).openAPI
	if *update {
		if err := os.WriteFile("openapi.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("openapi.json is not what the server answers: run go generate ./internal/admin and read the difference")
	}
}

func TestOpenAPIDocumentSaysAll(t *testing.T) {
	type response struct {
		Ref         string `json:"$ref"`
		Description string
		Content     map[string]struct {
			Schema  map[string]any
			Example any
		}
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID, Summary, Description string
			Tags                              []string
			Security                          []map[string][]string
			Parameters                        []struct{ Name, Description string }
			RequestBody                       *struct {
				Content map[string]struct{ Example any }
			}
			Responses map[string]response
		}
		Components struct {
			Responses map[string]response
			Schemas   map[string]struct {
				Type                 string
				AdditionalProperties any
				Properties           map[string]struct{ Description string }
			}
		}
	}
	raw := New(Options{}).(*handlers).openAPI
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("got OpenAPI %q, want 3.1", doc.OpenAPI)
	}
	seen := map[string]bool{}
	for path, item := range doc.Paths {
		for method, o := range item {
			at := strings.ToUpper(method) + " " + path
			if o.OperationID == "" || seen[o.OperationID] || o.Summary == "" || o.Description == "" || len(o.Tags) != 1 || len(o.Security) != 1 {
				t.Errorf("%s: id %q, summary %q, description %q, tags %v or security %v is missing or repeated", at, o.OperationID, o.Summary, o.Description, o.Tags, o.Security)
			}
			seen[o.OperationID] = true
			for _, p := range o.Parameters {
				if p.Description == "" {
					t.Errorf("%s: parameter %s has no description", at, p.Name)
				}
			}
			if o.RequestBody != nil && o.RequestBody.Content["application/json"].Example == nil {
				t.Errorf("%s: the request has no example", at)
			}
			for code, r := range o.Responses {
				if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
					o.Responses[code] = doc.Components.Responses[name]
				}
			}
			for _, code := range []string{"400", "401", "403", "421", "422", "429", "500", "503"} {
				if o.Responses[code].Content["application/problem+json"].Schema == nil {
					t.Errorf("%s: no problem for %s", at, code)
				}
			}
			for code, r := range o.Responses {
				if r.Description == "" {
					t.Errorf("%s: %s has no description", at, code)
				}
				for media, c := range r.Content {
					if c.Example == nil {
						t.Errorf("%s: %s %s has no example", at, code, media)
					}
				}
			}
		}
	}
	for name, s := range doc.Components.Schemas {
		if s.Type == "object" && s.AdditionalProperties != false {
			t.Errorf("schema %s takes members it does not name", name)
		}
		for p, member := range s.Properties {
			if member.Description == "" {
				t.Errorf("schema %s: %s has no description", name, p)
			}
		}
	}
	checkNulls(t, "", raw)
	for _, far := range []string{"unpkg", "jsdelivr", "$schema\""} {
		if bytes.Contains(raw, []byte(far)) {
			t.Errorf("the document mentions %s", far)
		}
	}
}

// checkNulls wants no null anywhere: the API answers with no such member, and lists are lists. F48.
func checkNulls(t *testing.T, at string, raw json.RawMessage) {
	t.Helper()
	var members map[string]json.RawMessage
	var items []json.RawMessage
	switch {
	case string(raw) == "null":
		t.Errorf("%s is null", at)
	case json.Unmarshal(raw, &members) == nil:
		for name, m := range members {
			checkNulls(t, at+"/"+name, m)
		}
	case json.Unmarshal(raw, &items) == nil:
		for _, m := range items {
			checkNulls(t, at+"/[]", m)
		}
	}
}
