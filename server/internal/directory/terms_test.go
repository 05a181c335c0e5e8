package directory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// TOK-017, TOK-027: an audience is an absolute URI without a fragment, and never the server itself.
func TestAudienceThatIsNoneIsRefused(t *testing.T) {
	d := load(t, open(t), directory.Options{Reserved: []string{"auth-server", "https://auth.example/t1"}})
	for _, a := range []string{
		"", "orders", "/orders", "//orders.example/", "https://", "https:", "https://o.example/#", "https://o.example/#x", "https://o.example/ x",
		"https://o.example/\u00e4", "https://o.example/\x00", "https://u:p@o.example/", "https://o.example/" + strings.Repeat("x", 512), "https://o.example/%zz",
		`https://o.example/"`, "https://o.example/\\", "https://o.example/<", "1:2", ":x", "auth-server",
		"https://auth.example/t1", "https://auth.example/t1/", "https://AUTH.example/t1", "https://auth.example/t1/oauth2/token", "https://auth.example/t1?x",
	} {
		_, err := d.CreateService(t.Context(), operator, directory.NewService{Name: "m1", ServiceSettings: api.ServiceSettings{Audiences: []string{a}}})
		if invalid, ok := errors.AsType[*directory.InvalidError](err); !ok || invalid.Field != "audiences" {
			t.Errorf("%q: got %v, want a refusal of audiences", a, err)
		}
	}
	good := []string{"https://o.example", "https://o.example/a?b=c", "urn:example:orders", "https://auth.example/t10", "https://auth.example", "spiffe://example/m1"}
	s, err := d.CreateService(t.Context(), operator, directory.NewService{Name: "m1", ServiceSettings: api.ServiceSettings{Audiences: good}})
	if err != nil || len(s.Audiences) != len(good) {
		t.Errorf("got %v, %v", s.Audiences, err)
	}
}

func TestListsOfAServiceAreSortedAndWithoutRepetition(t *testing.T) {
	d := load(t, open(t), directory.Options{})
	given := []string{"urn:b", "urn:a", "urn:b"}
	s, err := d.CreateService(t.Context(), operator, directory.NewService{Name: "m1", ServiceSettings: api.ServiceSettings{Audiences: given, AuthMethods: []string{"y", "x", "y"}, GrantTypes: []string{}}})
	if got := fmt.Sprint(s.Audiences, s.AuthMethods, s.GrantTypes == nil); err != nil || got != "[urn:a urn:b] [x y] true" {
		t.Errorf("got %s, %v", got, err)
	}
	if fmt.Sprint(given) != "[urn:b urn:a urn:b]" {
		t.Errorf("the caller's list became %v", given)
	}
	before := d.Snapshot().Revision()
	s, err = d.UpdateService(t.Context(), operator, "m1", s.Version, func(s *directory.Service) {
		s.Audiences, s.GrantTypes = []string{"urn:b", "urn:a"}, []string{}
	})
	if err != nil || s.Version != 1 || d.Snapshot().Revision() != before {
		t.Errorf("the same in another order: version %d, %v", s.Version, err)
	}
	stored, _ := d.Snapshot().Service("m1")
	if !stored.Equal(s) {
		t.Errorf("got %+v, want %+v", stored, s)
	}
}

// TOK-025: a target is found by its name and by each of its audiences; an audience has one owner,
// and follows it.
func TestTargetIsFoundByItsAudiences(t *testing.T) {
	d := load(t, open(t), directory.Options{})
	ctx := t.Context()
	for _, n := range []directory.NewService{{Name: "m1"}, {Name: "m2", ServiceSettings: api.ServiceSettings{Audiences: []string{"urn:a", "urn:b"}}}, {Name: "m3"}} {
		if _, err := d.CreateService(ctx, operator, n); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := d.Allow(ctx, operator, "m1", "m2", directory.NewRule{}, 0); err != nil {
		t.Fatal(err)
	}
	want := func(when string, reasons map[string]policy.Reason) {
		t.Helper()
		for target, want := range reasons {
			if got := decide(d, "m1", target); got != want {
				t.Errorf("%s, %s: got %s, want %s", when, target, got, want)
			}
		}
	}
	want("at first", map[string]policy.Reason{"m2": policy.Allowed, "urn:a": policy.Allowed, "urn:b": policy.Allowed, "urn:A": policy.UnknownTarget})
	set := func(name string, audiences ...string) error {
		_, err := d.UpdateService(ctx, operator, name, 0, func(s *directory.Service) { s.Audiences = audiences })
		return err
	}
	if err := set("m3", "urn:a"); !errors.Is(err, directory.ErrExists) {
		t.Errorf("taking another's: got %v, want ErrExists", err)
	}
	if _, err := d.CreateService(ctx, operator, directory.NewService{Name: "m4", ServiceSettings: api.ServiceSettings{Audiences: []string{"urn:b"}}}); !errors.Is(err, directory.ErrExists) {
		t.Errorf("beginning with another's: got %v, want ErrExists", err)
	}
	if err := errors.Join(set("m2", "urn:b"), set("m3", "urn:a")); err != nil {
		t.Fatal(err)
	}
	want("after one moved", map[string]policy.Reason{"m2": policy.Allowed, "urn:a": policy.NoRule, "urn:b": policy.Allowed})
	if err := d.DeleteService(ctx, operator, "m2", 0); err != nil {
		t.Fatal(err)
	}
	want("after the deletion", map[string]policy.Reason{"m2": policy.UnknownTarget, "urn:b": policy.UnknownTarget})
}
