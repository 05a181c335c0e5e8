package explain

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// What is said of a decision is what was decided; and the shadow decides as the same rules would if they
// were in force.
func TestWordsAndShadowAgreeWithTheDecision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := someState(t)
		planned := *st
		planned.Rules = nil
		for caller := range people {
			for target := range people {
				r := directory.ShadowRule{Rule: directory.Rule{Edge: policy.Edge{Caller: uid(caller), Target: uid(target)}}, Absent: true}
				if rapid.Bool().Draw(t, "planned") {
					r = directory.ShadowRule{Rule: someRule(t, caller, target)}
					planned.Rules = append(planned.Rules, r.Rule)
				}
				st.Shadow = append(st.Shadow, r)
			}
		}
		s, after := directory.NewSnapshot(st, 0), directory.NewSnapshot(&planned, 0)
		caller := rapid.IntRange(0, people-1).Draw(t, "caller")
		q := directory.Question{
			Caller: uid(caller), Target: name(rapid.IntRange(0, people).Draw(t, "target")), Scopes: someScopes(t, "asked"), At: now,
			With: someCircumstances(t), Exchange: rapid.SampledFrom([]policy.Exchange{"", policy.Delegate, policy.Impersonate}).Draw(t, "as"),
		}
		if q.Exchange != policy.NoExchange {
			q.Within, q.With.Actors = someScopes(t, "within"), 1
		}
		v := s.Decide(q)
		w := Explain(s, Asked{Caller: name(caller), Target: q.Target, Scopes: q.Scopes, Method: q.With.Method, At: now}, v, "")
		switch {
		case w.Allowed != v.Allowed(), v.Observed == "" && w.Reason != string(v.Reason), v.Observed != "" && w.Reason != string(v.Observed):
			t.Fatalf("decided %+v and said %+v", v, w)
		case w.Text == "" || strings.Contains(w.Text, "%!"):
			t.Fatalf("said %q of %+v", w.Text, v)
		}
		real := after.Decide(q)
		if real.Observed != "" {
			real.Reason = real.Observed
		}
		if v.Shadow == nil && v.Target != nil && !v.Target.Disabled && v.Reason != policy.CallerDisabled {
			t.Fatalf("no shadow for %+v", q)
		}
		if v.Shadow != nil && (v.Shadow.Reason != real.Reason || real.Allowed() && real.Observed == "" && !slices.Equal(v.Shadow.Scopes, real.Scopes)) {
			t.Fatalf("the shadow said %+v, and in force the same rules say %+v", v.Shadow, real)
		}
	})
}

// The command of an explanation is enough for the question, and names nothing else: that stays as it is.
func TestCommandChangesNoMoreThanItMust(t *testing.T) {
	st := &directory.State{Services: []directory.Service{{UID: uid(0), Name: "m1"}, {UID: uid(1), Name: "m2", ServiceSettings: api.ServiceSettings{Audiences: []string{"https://m2"}}}, {UID: uid(2), Name: "m3"}}}
	edge := policy.Edge{Caller: uid(0), Target: uid(1)}
	for _, c := range []struct {
		rule directory.Rule
		q    directory.Question
		want string
	}{
		{directory.Rule{}, directory.Question{Scopes: []string{"x"}}, "watchword allow m1 m2 --scope x"},
		{directory.Rule{Edge: edge, Scopes: []string{"a"}, Exchange: policy.Delegate, MayAct: uid(2), Until: now.AddDate(0, 1, 0)}, directory.Question{Scopes: []string{"a", "b*"}}, "watchword allow m1 m2 --scope a --scope 'b*'"},
		{directory.Rule{Edge: edge, Scopes: []string{"a"}, Until: now.AddDate(0, -1, 0)}, directory.Question{}, "watchword allow m1 m2 --until ''"},
		{directory.Rule{Edge: edge, Scopes: []string{"a"}, When: &policy.When{Bound: true}}, directory.Question{Scopes: []string{"b"}, With: policy.Circumstances{Bound: true}}, "watchword allow m1 m2 --scope a --scope b"},
		{directory.Rule{Edge: edge}, directory.Question{Exchange: policy.Delegate}, "watchword allow m1 m2 --exchange delegate"},
	} {
		st.Rules = nil
		if c.rule.Edge == edge {
			st.Rules = []directory.Rule{c.rule}
		}
		s := directory.NewSnapshot(st, 0)
		c.q.Caller, c.q.Target, c.q.At = uid(0), "https://m2", now
		v := s.Decide(c.q)
		if got := Explain(s, Asked{Caller: "m1", Target: c.q.Target, Scopes: c.q.Scopes, At: now}, v, ""); got.Command != c.want || got.Allowed {
			t.Errorf("%+v: got %+v, want the command %q", c.rule, got, c.want)
		}
		if got := Explain(s, Asked{Caller: "m1", Target: "m2", Scopes: c.q.Scopes, At: now}, v, "web"); !strings.Contains(got.Command, `file of "web"`) {
			t.Errorf("owned: got %q", got.Command)
		}
	}
}

// F10: whoever asks for a token chooses the target's name and the scopes, and an operator pastes the command.
func TestF10CommandsRunNothingThatACallerWrote(t *testing.T) {
	hostile := []string{"audience=$(touch${IFS}pwned)", "m3;touch pwned", "`touch pwned`", "m3\ntouch pwned", "m3\u009b2J", "--help", "", "a b"}
	for _, name := range hostile {
		s := directory.NewSnapshot(&directory.State{Services: []directory.Service{{UID: uid(0), Name: "m1"}}}, 0)
		for _, a := range []Asked{{Caller: "m1", Target: name, At: now}, {Caller: name, Target: "m1", At: now}} {
			for _, reason := range []policy.Reason{policy.UnknownTarget, policy.CallerDisabled} {
				w := Explain(s, a, directory.Verdict{Decision: policy.Decision{Reason: reason}}, "")
				if missing := map[policy.Reason]string{policy.UnknownTarget: a.Target, policy.CallerDisabled: a.Caller}[reason]; missing == name && w.Command != "" {
					t.Errorf("%q cannot be a service's name, and the command is %s", name, w.Command)
				}
				if strings.ContainsFunc(w.Text, func(c rune) bool { return c < ' ' || c == 0x7f || 0x80 <= c && c < 0xa0 }) {
					t.Errorf("%q: the text commands the terminal: %q", name, w.Text)
				}
			}
		}
	}
	st := &directory.State{Services: []directory.Service{{UID: uid(0), Name: "m1"}, {UID: uid(1), Name: "m2"}}}
	for _, scope := range []string{"$(touch pwned)", "`touch$IFS'pwned'`", ";touch>pwned", "'", "a*", "=x"} {
		v := directory.NewSnapshot(st, 0).Decide(directory.Question{Caller: uid(0), Target: "m2", Scopes: []string{scope}, At: now})
		w := Explain(directory.NewSnapshot(st, 0), Asked{Caller: "m1", Target: "m2", Scopes: []string{scope}, At: now}, v, "")
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `watchword() { for word; do printf '[%s]' "$word"; done; }; `+w.Command)
		cmd.Dir = t.TempDir()
		out, err := cmd.Output()
		if want := "[allow][m1][m2][--scope][" + scope + "]"; err != nil || string(out) != want {
			t.Errorf("a shell reads %s as %s, %v; want %s", w.Command, out, err, want)
		}
		if files, err := os.ReadDir(cmd.Dir); err != nil || len(files) > 0 {
			t.Errorf("%s wrote %v, %v", w.Command, files, err)
		}
	}
}
