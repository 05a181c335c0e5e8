package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/jose"
)

// A service of a file gets tokens with what its identity names, on every replica. Whatever the next file takes away is
// refused, with the tokens that were obtained by it, and the tests of a file say the same before. FED-015.
func TestIdentitiesOfAFileProveServicesAndNothingElseDoes(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){"identities": identitiesOfAFile})
}

func identitiesOfAFile(t *testing.T, w *world) {
	signer, err := jose.GenerateSigner(jose.ES256)
	must(t, err)
	build := &signingPlatform{t: t, signer: signer, typ: "JWT", claims: map[string]any{"iss": "https://build.example.com", "sub": "job-1"}}
	trusted := "trusts:\n  build:\n    issuer: https://build.example.com\n    jwks: |\n      " + string(jose.NewKeySet(signer.Public()).JSON()) + "\n    disabled: "
	apply := func(trusts, sub, expect string) {
		t.Helper()
		text := "version: 1\nmanaged-by: builds\n" + trusts + "services:\n  job:"
		if sub != "" {
			text += fmt.Sprintf(" {identity: {trust: build, claims: {sub: %s}}}", sub)
		}
		text += "\nrules:\n  - {from: job, to: m2}\n"
		if trusts != "" {
			text += "tests:\n  - {as: {trust: build, claims: {sub: job-1}}, to: m2, expect: " + expect + "}\n"
		}
		body := strings.TrimSuffix(callMapFiles(text), "}")
		w.operate("POST", "/callmap/apply", body+fmt.Sprintf(`,"remove":%v}`, w.operate("POST", "/callmap/plan", callMapFiles(text))["removed"]))
		must(t, w.replica().s.directory.CatchUp(t.Context())) // which it does when it is notified, or after half a second
	}
	ask := func(w *world) answer {
		return w.tokenRequest(withAssertion(build.token(issuerURL, nil), "m2"))
	}
	active := func(token string) any { return w.replica().introspect("m2", token).json(t)["active"] }

	apply(trusted+"false\n", "job-1", "allow")
	first := given(t, ask(w))
	if second := given(t, ask(w.replica())); active(first) != true || active(second) != true || part(t, second, 1)["sub"] != "job" {
		t.Errorf("got %v of %v", active(second), part(t, second, 1))
	}
	apply(trusted+"false\n", "job-1", "allow") // the same again takes nothing away
	if active(first) != true {
		t.Error("a file that was applied again ended a token")
	}
	for _, c := range []struct{ name, trusts, sub string }{
		{"another subject", trusted + "false\n", "job-2"},
		{"a disabled trust", trusted + "true\n", "job-1"},
		{"no identity", trusted + "false\n", ""},
		{"no trust", "", ""},
	} {
		apply(trusted+"false\n", "job-1", "allow")
		token := given(t, ask(w))
		apply(c.trusts, c.sub, "deny")
		for _, at := range []*world{w, w.replica()} {
			refused(t, c.name, ask(at), 401, "invalid_client")
		}
		if active(token) != false {
			t.Errorf("%s: a token that was obtained before is accepted", c.name)
		}
	}
}
