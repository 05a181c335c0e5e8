package callmap_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

var names = []string{"m0", "m1", "m2", "m3", "m4"}

// drawFile is the lines of a file of owner, by their part. It says each edge once, so that it never
// contradicts itself.
func drawFile(t *rapid.T, owner string, own []string) map[string][]string {
	f := map[string][]string{}
	one := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	trusts := []string{}
	for _, kind := range []string{"cluster", "forge"} {
		if rapid.Bool().Draw(t, kind) {
			name := kind + "-" + owner
			trusts = append(trusts, name)
			f["trusts"] = append(f["trusts"], fmt.Sprintf("  %s: {issuer: %q%s}", name, "https://"+name+".example.com", one("trust", "", ", audience: https://a.example.com", ", algorithms: [RS256, ES256], max-lifetime: 5m", ", once: always", ", disabled: true", ", jwks: "+strconv.Quote(aKey))))
		}
	}
	for _, name := range own {
		f["services"] = append(f["services"], fmt.Sprintf("  %s: {%s}", name, one("service", "description: none", "owner: anna", "labels: {team: web}", "labels: {team: web, tier: one}, token-life: 5m", "enforce: observe", "disabled: true", "audiences: [https://"+name+".example.com]")+drawIdentities(t, trusts)))
	}
	f["groups"] = []string{"  web-" + owner + ": {labels: {team: web}}", "  some-" + owner + ": [" + strings.Join(own, ", ") + ", group:web-" + owner + "]"}
	for i, to := range own {
		callers := rapid.Permutation(own).Draw(t, "callers")[:rapid.IntRange(0, len(own)).Draw(t, "of them")]
		from := []string{strings.Join(callers, ", ")}
		if half := len(callers) / 2; half > 0 && rapid.Bool().Draw(t, "in two") {
			from = []string{strings.Join(callers[:half], ", "), strings.Join(callers[half:], ", ")}
		} else if i == 0 && rapid.Bool().Draw(t, "a group") {
			from = []string{"group:some-" + owner}
		}
		for _, callers := range from {
			if callers == "" {
				continue
			}
			terms := one("terms", "", ", scopes: [read]", ", scopes: [read, write], until: 2026-11-24T18:00:00Z", ", when: {bound: true}", ", when: {networks: [10.0.0.0/8], auth: [private_key_jwt]}", `, when: {hours: "Mon-Fri 08:00-18:00"}`, ", exchange: delegate, may-act: "+own[0], ", until: 2020-01-01")
			f["rules"] = append(f["rules"], fmt.Sprintf("  - {from: [%s], to: %s%s}", callers, to, terms))
		}
		if i == 0 && rapid.Bool().Draw(t, "shadow") {
			f["rules"] = append(f["rules"], fmt.Sprintf("  - {from: [%s], to: %s, scopes: [write], shadow: true}", own[len(own)-1], to))
		}
	}
	return f
}

// aKey is the key of a platform, as lines and with quotes.
const aKey = "{\n  \"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": \"a\", \"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]\n}\n"

var subjects = []string{"build", "010", "true: \"é\""}

// drawIdentities is the member identity of a service, or nothing, as it stands behind other members.
func drawIdentities(t *rapid.T, trusts []string) string {
	var all []string
	for _, name := range trusts {
		for _, sub := range rapid.SliceOfNDistinct(rapid.SampledFrom(subjects), 0, 2, rapid.ID).Draw(t, "subjects") {
			all = append(all, fmt.Sprintf("{trust: %s, claims: {sub: %q}}", name, sub))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return ", identity: [" + strings.Join(all, ", ") + "]"
}

func render(owner string, f map[string][]string) string {
	var b strings.Builder
	b.WriteString("version: 1\nmanaged-by: " + owner + "\n")
	for _, part := range []string{"trusts", "services", "groups", "rules"} {
		if len(f[part]) > 0 {
			b.WriteString(part + ":\n" + strings.Join(f[part], "\n") + "\n")
		}
	}
	return b.String()
}

func read(t rapid.TB, name, text string) *callmap.File {
	f, err := callmap.Parse(name, []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

func plan(t rapid.TB, state *directory.State, files ...*callmap.File) *callmap.Plan {
	p, err := callmap.Make(files, state, noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(directory.Options{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// decisions are those on all pairs, asked in many ways, by name.
func decisions(s *directory.Snapshot) map[string]string {
	all := map[string]string{}
	ways := map[string]directory.Question{
		"plain": {}, "read": {Scopes: []string{"read"}}, "evening": {At: noon.Add(10 * time.Hour)},
		"bound":    {With: policy.Circumstances{Bound: true}},
		"from":     {With: policy.Circumstances{Address: netip.MustParseAddr("10.1.2.3"), Method: "private_key_jwt"}},
		"exchange": {Exchange: policy.Delegate, With: policy.Circumstances{Actors: 1}},
	}
	for _, from := range names {
		for _, to := range names {
			for way, q := range ways {
				q.Target = to
				if q.At.IsZero() {
					q.At = noon
				}
				if c, ok := s.Service(from); ok {
					q.Caller = c.UID
				}
				v := s.Decide(q)
				all[from+" "+to+" "+way] = fmt.Sprint(v.Reason, v.Scopes, v.Observed, v.Otherwise())
			}
		}
	}
	for tr := range s.Trusts() {
		for _, sub := range subjects {
			all[tr.Name+" "+sub] = proven(s, tr, sub)
		}
	}
	return all
}

// proven is the service that a token of tr proves, or why it proves none.
func proven(s *directory.Snapshot, tr *directory.Trust, sub string) string {
	c, err := trust.Suppose(&tr.TrustSettings, map[string]string{"sub": sub})
	if err != nil {
		return err.Error()
	}
	id, failure := clientauth.Suppose(tr, c, netip.Addr{}, s, noon)
	if failure != nil {
		return failure.Reason
	}
	return id.Service.Name
}

// adoptsOnly reports whether all that p does is to take over trusts that are disabled, and that their file does not name any more.
func adoptsOnly(p *callmap.Plan) bool {
	return !slices.ContainsFunc(p.Changes(0), func(c api.PlannedChange) bool {
		return c.Kind != "trust" || c.Text != "belonged to no file, now belongs to callmap now"
	})
}

// Files applied one after another to a real directory: each time what comes out is what was planned,
// planning again is empty, and so is planning what is exported.
func TestApplyingAPlanGivesWhatWasPlanned(t *testing.T) {
	folder := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		data, err := os.MkdirTemp(folder, "")
		if err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(t.Context(), store.Options{DataDir: data})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		d := directory.New(db, nil, directory.Options{Now: func() time.Time { return noon }})
		if err := d.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		state := func() *directory.State {
			s, err := db.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		for range rapid.IntRange(1, 3).Draw(t, "applies") {
			owner := rapid.SampledFrom([]string{"callmap", "other"}).Draw(t, "owner")
			own := map[string][]string{"callmap": names[:3], "other": names[3:]}[owner]
			file := read(t, owner+".yaml", render(owner, drawFile(t, owner, own)))
			p := plan(t, state(), file)
			want := decisions(p.After(time.Hour))
			if _, err := d.Apply(t.Context(), directory.Author{Actor: "operator"}, p.Batch(), "callmap.apply", "a test"); err != nil && !p.Empty() {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, decisions(d.Snapshot())); diff != "" {
				t.Fatalf("the directory does not decide as planned:\n%s", diff)
			}
			if diff := cmp.Diff(want, decisions(directory.NewSnapshot(state(), time.Hour))); diff != "" {
				t.Fatalf("nor when it is loaded again:\n%s", diff)
			}
			if again := plan(t, state(), file); !again.Empty() {
				t.Fatalf("planning again is not empty: %v", again.Changes(0))
			}
			exported := callmap.Export(state(), owner)
			if again := plan(t, state(), read(t, "exported.yaml", string(exported))); !adoptsOnly(again) {
				t.Fatalf("planning the export is not empty: %v\n%s", again.Changes(0), exported)
			}
			formatted, err := callmap.Format("exported.yaml", exported)
			if err != nil {
				t.Fatal(err)
			}
			if again := plan(t, state(), read(t, "exported.yaml", string(formatted))); !adoptsOnly(again) {
				t.Fatalf("planning the formatted export is not empty: %v", again.Changes(0))
			}
		}
	})
}

// Files, services, groups and rules in any order are the same call map.
func TestOrderNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawFile(t, "callmap", names[:3]), drawFile(t, "other", names[3:])
		files := func() []*callmap.File {
			return []*callmap.File{read(t, "a.yaml", render("callmap", a)), read(t, "b.yaml", render("other", b))}
		}
		first := plan(t, &directory.State{}, files()...)
		for _, f := range []map[string][]string{a, b} {
			for _, part := range []string{"trusts", "services", "groups", "rules"} {
				if len(f[part]) > 0 {
					f[part] = rapid.Permutation(f[part]).Draw(t, part)
				}
			}
		}
		shuffled := files()
		if rapid.Bool().Draw(t, "files") {
			slices.Reverse(shuffled)
		}
		second := plan(t, &directory.State{}, shuffled...)
		if diff := cmp.Diff(first.Changes(0), second.Changes(0)); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(decisions(first.After(time.Hour)), decisions(second.After(time.Hour))); diff != "" {
			t.Fatal(diff)
		}
	})
}

// POL-001: a call map of nothing, and one whose only rule is gone, allow nothing.
func TestNothingIsAllowedThatNoRuleAllows(t *testing.T) {
	for _, text := range []string{"version: 1\n", "version: 1\nservices: {m0: , m1: }\n", "version: 1\nservices: {m0: , m1: }\nrules: [{from: m0, to: m1, shadow: true}]\n"} {
		s := plan(t, &directory.State{}, read(t, "callmap.yaml", text)).After(time.Hour)
		for pair, d := range decisions(s) {
			if strings.HasPrefix(d, string(policy.Allowed)) {
				t.Errorf("%q allows %s", text, pair)
			}
		}
	}
}

// What another owner has stays as it is, and what nobody owns becomes the file's.
func TestOwnersDoNotFight(t *testing.T) {
	uid := func(n byte) (u directory.UID) { u[0] = n; return u }
	state := &directory.State{
		Revision: 9,
		Services: []directory.Service{{UID: uid(1), Name: "m1", Version: 1}, {UID: uid(2), Name: "m2", ManagedBy: "payments", Version: 1}, {UID: uid(3), Name: "m3", ManagedBy: "callmap", Version: 1}},
		Rules: []directory.Rule{
			{Edge: policy.Edge{Caller: uid(1), Target: uid(2)}, ManagedBy: "payments", Version: 1},
			{Edge: policy.Edge{Caller: uid(2), Target: uid(1)}, Version: 1},
			{Edge: policy.Edge{Caller: uid(3), Target: uid(1)}, ManagedBy: "callmap", Version: 1},
		},
	}
	p := plan(t, state, read(t, "callmap.yaml", "version: 1\nservices: {m1: }\nrules: [{from: m2, to: m1}]\n"))
	var got []string
	for _, c := range p.Changes(0) {
		got = append(got, c.String())
	}
	want := []string{"~ service m1  belonged to no file, now belongs to callmap now", "- service m3  with its credentials", "~ m2 -> m1  belonged to no file, now belongs to callmap now", "- m3 -> m1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err := callmap.Make([]*callmap.File{read(t, "callmap.yaml", "version: 1\nrules:\n  - {from: m1, to: m2}\n")}, state, noon)
	if want := `callmap.yaml:3:5: the rule m1 -> m2 belongs to "payments"; this file is of "callmap"`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
