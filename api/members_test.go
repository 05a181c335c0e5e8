package api_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/api"
)

// A member without a row could not be set, planned or shown; a row without a member would be one for nothing.
func TestTheTableHasARowForEachSettingOfAService(t *testing.T) {
	var rows []string
	flags, labels := map[string]bool{}, map[string]bool{}
	for _, m := range api.ServiceMembers() {
		rows = append(rows, m.Name)
		if m.Doc == "" || !strings.HasSuffix(m.Doc, ".") || m.Label == "" || m.File == "" || flags[m.Flag] || labels[m.Label] {
			t.Errorf("the row of %s lacks documentation, or has a name of another: %+v", m.Name, m)
		}
		flags[m.Flag], labels[m.Label] = m.Flag != "", true
	}
	slices.Sort(rows)
	for _, members := range []any{api.ServiceSettings{}, api.ServicePatch{}} {
		var names []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(members)) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
		if slices.Sort(names); !slices.Equal(names, rows) {
			t.Errorf("%T has the members %v, and the table %v", members, names, rows)
		}
	}
}

// Each row reads and changes the member that it names, and no other.
func TestEachRowIsOfItsMember(t *testing.T) {
	for _, m := range api.ServiceMembers() {
		var s api.ServiceSettings
		var p api.ServicePatch
		if m.Given(&p) != nil {
			t.Errorf("%s: a patch that changes nothing gives %v", m.Name, m.Given(&p))
		}
		want := ""
		switch m.Of(&s).(type) {
		case *string:
			want = `"x"`
		case *bool:
			want = "true"
		case *int64:
			want = "7"
		case *[]string:
			want = `["x","y"]`
		}
		if err := json.Unmarshal([]byte(`{"`+m.Name+`":`+want+`}`), &p); err != nil || m.Given(&p) == nil {
			t.Fatalf("%s: the row is of another member of the patch (%v)", m.Name, err)
		}
		p.Apply(&s)
		got, err := json.Marshal(reflect.ValueOf(m.Of(&s)).Elem().Interface())
		if err != nil || string(got) != want {
			t.Errorf("%s: got %s, want %s (%v)", m.Name, got, want, err)
		}
		if all, err := json.Marshal(s); err != nil || !strings.Contains(string(all), `"`+m.Name+`":`+want) {
			t.Errorf("%s: the row is of another member: %s", m.Name, all)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	for what, list := range map[string][]api.Name{
		"methods": api.AuthMethods(), "grants": api.GrantTypes(), "algorithms": api.Algorithms(), "bindings": api.Bindings(), "kinds": api.CredentialKinds(),
	} {
		seen := map[string]bool{"": true}
		for _, n := range list {
			if seen[n.Name] || n.Short != "" && seen[n.Short] {
				t.Errorf("%s: %q (%q) is empty, or there twice", what, n.Name, n.Short)
			}
			seen[n.Name], seen[n.Short] = true, true
		}
	}
}
