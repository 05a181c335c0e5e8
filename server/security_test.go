// Package server_test checks that a test names each case of the catalogue in /security, and that the catalogue
// has each id that is named.
package server_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// entry is what a case and a fault have in common.
type entry struct {
	where   string
	pending string // why no test shows it; empty when one must
}

const catalogue = "../security"

type securityCase struct {
	ID, Area, Prio, Kind, Endpoint, Request, Expect, Source, Planned string
}

type fault struct{ ID, Area, Status, Wrong, Right string }

// readCatalogue returns the cases and faults by id, and checks that each is complete.
func readCatalogue(t *testing.T) map[string]entry {
	t.Helper()
	all := map[string]entry{}
	add := func(where, id, pending string, form *regexp.Regexp, required ...string) {
		if before, twice := all[id]; twice {
			t.Errorf("%s: %s is in %s too", where, id, before.where)
		}
		if !form.MatchString(id) || slices.Contains(required, "") {
			t.Errorf("%s: %q is not complete", where, id)
		}
		all[id] = entry{where, pending}
	}
	files, err := filepath.Glob(catalogue + "/cases/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		var content struct{ Cases []securityCase }
		readYAML(t, file, &content)
		for _, c := range content.Cases {
			add(file, c.ID, c.Planned, caseID, c.Area, c.Endpoint, c.Request, c.Expect, c.Source)
			if c.Prio != "P0" && c.Prio != "P1" && c.Prio != "P2" {
				t.Errorf("%s: %s has prio %q", file, c.ID, c.Prio)
			}
		}
	}
	var content struct{ Faults []fault }
	file := catalogue + "/faults.yaml"
	readYAML(t, file, &content)
	for _, f := range content.Faults {
		pending := map[string]string{"open": "it is open", "fixed": ""}
		why, known := pending[f.Status]
		if !known {
			t.Errorf("%s: %s has status %q", file, f.ID, f.Status)
		}
		add(file, f.ID, why, faultID, f.Area, f.Wrong, f.Right)
	}
	return all
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if err := d.Decode(into); !errors.Is(err, io.EOF) {
		t.Fatalf("%s: %v, want one document", file, err)
	}
}

var (
	caseID  = regexp.MustCompile(`\b[A-Z]{3}-\d{3}\b`)
	faultID = regexp.MustCompile(`\bF\d{2,3}\b`)
	span    = regexp.MustCompile(`\b[A-Z]{3}-\d{3} to [A-Z]{3}-\d{3}\b`)
	// looksLikeID matches the names of algorithms and the ids of other catalogues.
	looksLikeID = regexp.MustCompile(`^(AES|SHA|CWE)-`)
)

// namings returns the files that name each id: those of tests, and all others.
func namings(t *testing.T) (byTests, byOthers map[string][]string) {
	t.Helper()
	byTests, byOthers = map[string][]string{}, map[string][]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == "node_modules" || name == "security" || strings.HasPrefix(name, ".") && name != "..") {
			return filepath.SkipDir
		}
		if d.IsDir() || !slices.Contains([]string{".go", ".txtar", ".md", ".sh", ".mjs", ".ts", ".py"}, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, s := range span.FindAllString(string(text), -1) {
			t.Errorf("%s: name each id, so that it can be searched for: %s", path, s)
		}
		into, ids := byOthers, caseID.FindAllString(string(text), -1)
		if strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".txtar") {
			into, ids = byTests, append(ids, faultID.FindAllString(string(text), -1)...)
		}
		for _, id := range ids {
			if !looksLikeID.MatchString(id) {
				into[id] = append(into[id], path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return byTests, byOthers
}

func TestEachSecurityCaseIsNamedByATest(t *testing.T) {
	all := readCatalogue(t)
	byTests, byOthers := namings(t)
	for id, e := range all {
		files := byTests[id]
		switch {
		case e.pending == "" && len(files) == 0:
			t.Errorf("%s: no test names %s", e.where, id)
		case e.pending != "" && len(files) > 0:
			t.Errorf("%s: %s is marked as not tested (%s), but %s names it", e.where, id, e.pending, files[0])
		}
	}
	for _, named := range []map[string][]string{byTests, byOthers} {
		for id, files := range named {
			if _, known := all[id]; !known {
				t.Errorf("%s: there is no %s in /security", files[0], id)
			}
		}
	}
}
