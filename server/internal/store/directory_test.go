package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

var comparePrefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestWhatIsStoredIsReadBackWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := newService("m1")
		s.Disabled, s.Description = true, "größer 'quoted' \"x\" -- ;\n日本"
		s.Audiences = []string{"https://m1.example/", "urn:example:m1"}
		s.AuthMethods, s.GrantTypes = []string{"private_key_jwt"}, []string{"client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"}
		s.Binding, s.TokenEndpointAudience, s.MultipleTargets = api.BindingDPoP, true, true
		if rev, err := db.InsertService(t.Context(), s, change("service/x")); err != nil || rev != 1 {
			t.Fatalf("got revision %d, %v", rev, err)
		}
		r := newRule(s, s, "read", "write")
		r.Until, r.Exchange, r.MayAct = noon.AddDate(200, 0, 0), policy.Impersonate, s.UID
		if rev, err := db.PutRule(t.Context(), r, change("rule/x")); err != nil || rev != 2 {
			t.Fatalf("got revision %d, %v", rev, err)
		}
		r.Version = 1
		c := newCredential(s, "c1")
		c.CIDR = netip.MustParsePrefix("2001:db8::/32")
		c.ExpiresAt = noon.AddDate(100, 0, 0)
		c.Kind, c.Material, c.NotBefore = directory.KindKey, `{"kty":"OKP","crv":"Ed25519"}`, noon.Add(time.Minute)
		if rev, err := db.InsertCredential(t.Context(), c, change("credential/c1")); err != nil || rev != 3 {
			t.Fatalf("got revision %d, %v", rev, err)
		}
		gone := directory.Revocation{ID: "0123456789abcdef0123456789abcdef", RevokedAt: noon, Until: noon.Add(time.Hour), Status: "list/7"}
		if rev, err := db.InsertRevocation(t.Context(), gone, change("revocation/x")); err != nil || rev != 4 {
			t.Fatalf("got revision %d, %v", rev, err)
		}
		db.Close()

		db = open(t, o)
		state, err := db.Load(t.Context())
		must(t, err)
		want := &directory.State{
			Revision: 4, Services: []directory.Service{s}, Credentials: []directory.Credential{c}, Rules: []directory.Rule{r},
			Revocations: []directory.Revocation{gone},
		}
		if d := cmp.Diff(want, state, comparePrefixes); d != "" {
			t.Error(d)
		}
		gotS, err1 := db.ReadService(t.Context(), s.UID)
		gotR, err2 := db.ReadRule(t.Context(), r.Edge)
		gotC, err3 := db.ReadCredential(t.Context(), c.ID)
		gotGone, err4 := db.ReadRevocation(t.Context(), gone.ID)
		if err := errors.Join(err1, err2, err3, err4); err != nil || !gotS.Equal(s) || !reflect.DeepEqual(gotR, r) || gotC != c || gotGone != gone {
			t.Errorf("got %v %v %v %v, %v", gotS, gotR, gotC, gotGone, err)
		}
		listed, err := db.ListServices(t.Context(), "", 9)
		if err != nil || len(listed) != 1 || !listed[0].Equal(s) {
			t.Errorf("listed %v, %v", listed, err)
		}
		changes, err := db.ChangesAfter(t.Context(), 1, 1)
		wantChange := change("rule/x")
		wantChange.Revision = 2
		if d := cmp.Diff([]directory.Change{wantChange}, changes); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
	})
}

func TestUpdateNeedsTheStoredVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := insert(t, db, "m1")[0]
		r := allow(t, db, s, s, "read")
		c := addCredential(t, db, s, "c1")
		before := revision(t, db)

		ctx := t.Context()
		absent := newService("absent")
		updates := map[string]func(version int64, there bool) error{
			"UpdateService": func(v int64, there bool) error {
				n := s
				if !there {
					n = absent
				}
				n.Version, n.Description, n.UpdatedAt = v, "new", noon.Add(time.Hour)
				n.Audiences, n.AuthMethods, n.GrantTypes = []string{"urn:a"}, []string{"m"}, []string{"g"}
				n.Binding, n.TokenEndpointAudience, n.MultipleTargets = api.BindingMTLS, true, true
				_, err := db.UpdateService(ctx, n, change("x"))
				return err
			},
			"UpdateCredential": func(v int64, there bool) error {
				n := c
				if !there {
					n.ID = "absent"
				}
				n.Version, n.RevokedAt, n.ExpiresAt = v, noon, noon.Add(time.Minute)
				_, err := db.UpdateCredential(ctx, n, change("x"))
				return err
			},
			"PutRule": func(v int64, there bool) error {
				n := r
				if !there {
					n.Target = absent.UID
				}
				n.Version, n.Scopes, n.Exchange, n.MayAct = v, []string{"write"}, policy.Delegate, s.UID
				_, err := db.PutRule(ctx, n, change("x"))
				return err
			},
			"DeleteRule": func(v int64, there bool) error {
				e := r.Edge
				if !there {
					e.Target = absent.UID
				}
				_, err := db.DeleteRule(ctx, e, v, change("x"))
				return err
			},
			"DeleteService": func(v int64, there bool) error {
				uid := s.UID
				if !there {
					uid = absent.UID
				}
				_, err := db.DeleteService(ctx, uid, v, gone(uid), change("x"))
				return err
			},
		}
		for name, update := range updates {
			if err := update(7, true); !errors.Is(err, directory.ErrConflict) {
				t.Errorf("%s of another version: got %v, want ErrConflict", name, err)
			}
			if err := update(1, false); !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("%s of what is not there: got %v, want ErrNotFound", name, err)
			}
		}
		if now := revision(t, db); now != before {
			t.Errorf("refused updates made revisions %d to %d", before+1, now)
		}
		// Rules are updated before they are deleted, and services last.
		for _, name := range []string{"UpdateService", "UpdateCredential", "PutRule"} {
			if err := updates[name](1, true); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := updates[name](1, true); !errors.Is(err, directory.ErrConflict) {
				t.Errorf("%s, twice from the same version: got %v, want ErrConflict", name, err)
			}
		}
		wantS, wantC, wantR := s, c, r
		wantS.Version, wantS.Description, wantS.UpdatedAt = 2, "new", noon.Add(time.Hour)
		wantS.Audiences, wantS.AuthMethods, wantS.GrantTypes = []string{"urn:a"}, []string{"m"}, []string{"g"}
		wantS.Binding, wantS.TokenEndpointAudience, wantS.MultipleTargets = api.BindingMTLS, true, true
		wantC.Version, wantC.RevokedAt, wantC.ExpiresAt = 2, noon, noon.Add(time.Minute)
		wantR.Version, wantR.Scopes, wantR.Exchange, wantR.MayAct = 2, []string{"write"}, policy.Delegate, s.UID
		if got, err := db.ReadService(ctx, s.UID); err != nil || !got.Equal(wantS) {
			t.Errorf("got %+v, %v", got, err)
		}
		if got, err := db.ReadCredential(ctx, c.ID); err != nil || got != wantC {
			t.Errorf("got %+v, %v", got, err)
		}
		if got, err := db.ReadRule(ctx, r.Edge); err != nil || !reflect.DeepEqual(got, wantR) {
			t.Errorf("got %+v, %v", got, err)
		}
		for _, name := range []string{"DeleteRule", "DeleteService"} {
			if err := updates[name](2, true); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := updates[name](2, true); !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("%s, again: got %v, want ErrNotFound", name, err)
			}
		}
	})
}

func TestInsertSaysWhatStandsInTheWay(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := insert(t, db, "m1")[0]
		r := allow(t, db, s, s)
		c := addCredential(t, db, s, "c1")
		before := revision(t, db)
		absent := newService("absent")
		ctx := t.Context()
		for name, try := range map[string]struct {
			do   func() (int64, error)
			want error
		}{
			"name taken":      {func() (int64, error) { return db.InsertService(ctx, newService("m1"), change("x")) }, directory.ErrExists},
			"uid taken":       {func() (int64, error) { n := s; n.Name = "m2"; return db.InsertService(ctx, n, change("x")) }, directory.ErrExists},
			"id taken":        {func() (int64, error) { return db.InsertCredential(ctx, c, change("x")) }, directory.ErrExists},
			"no such service": {func() (int64, error) { return db.InsertCredential(ctx, newCredential(absent, "c2"), change("x")) }, directory.ErrNotFound},
			"rule there":      {func() (int64, error) { n := r; n.Version = 0; return db.PutRule(ctx, n, change("x")) }, directory.ErrConflict},
			"no such caller":  {func() (int64, error) { return db.PutRule(ctx, newRule(absent, s), change("x")) }, directory.ErrNotFound},
			"no such target":  {func() (int64, error) { return db.PutRule(ctx, newRule(s, absent), change("x")) }, directory.ErrNotFound},
			// F35.
			"name in another case": {func() (int64, error) { return db.InsertService(ctx, newService("M1"), change("x")) }, directory.ErrExists},
		} {
			if _, err := try.do(); !errors.Is(err, try.want) || (err == nil) != (try.want == nil) {
				t.Errorf("%s: got %v, want %v", name, err, try.want)
			}
		}
		if now := revision(t, db); now != before {
			t.Errorf("got %d revisions, want none", now-before)
		}
	})
}

func TestDeletedServiceLeavesNothingBehind(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := insert(t, db, "m1", "m2", "m3")
		allow(t, db, s[0], s[0])
		allow(t, db, s[0], s[1])
		allow(t, db, s[1], s[0])
		kept := allow(t, db, s[1], s[2])
		addCredential(t, db, s[0], "c1")
		keptCredential := addCredential(t, db, s[1], "c2")
		if _, err := db.DeleteService(t.Context(), s[0].UID, 1, gone(s[0].UID), change("x")); err != nil {
			t.Fatal(err)
		}
		// The name made again inherits nothing.
		again := insert(t, db, "m1")[0]
		state, err := db.Load(t.Context())
		must(t, err)
		want := &directory.State{
			Revision: 11, Services: []directory.Service{s[1], s[2], again},
			Credentials: []directory.Credential{keptCredential}, Rules: []directory.Rule{kept},
			// But for the word that no token may depend on it.
			Revocations: []directory.Revocation{gone(s[0].UID)},
		}
		byName := cmpopts.SortSlices(func(a, b directory.Service) bool { return a.UID[15] < b.UID[15] })
		if d := cmp.Diff(want, state, comparePrefixes, byName, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	})
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		_, err1 := db.ReadService(t.Context(), newUID())
		_, err2 := db.ReadRule(t.Context(), policy.Edge{})
		_, err3 := db.ReadCredential(t.Context(), "c1")
		_, err4 := db.ReadRevocation(t.Context(), "c1")
		_, err5 := db.ReadRevocation(t.Context(), "\xff")
		for i, err := range []error{err1, err2, err3, err4, err5} {
			if !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("%d: got %v, want ErrNotFound", i, err)
			}
		}
		state, err := db.Load(t.Context())
		if err != nil || state.Revision != 0 || len(state.Services)+len(state.Credentials)+len(state.Rules) != 0 {
			t.Errorf("an empty database loads as %+v, %v", state, err)
		}
	})
}

// 20 writers at once: every acknowledged change is there, revisions have no gap, and what
// Load gives is of one moment.
func TestRevisionsHaveNoGapsUnderConcurrency(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		insert(t, db, "taken")
		const writers, each = 20, 5
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				last := int64(0)
				for i := range each {
					rev, err := db.InsertService(t.Context(), newService(fmt.Sprintf("m%d-%d", w, i)), change("x"))
					if err != nil || rev <= last {
						t.Errorf("got revision %d after %d, %v", rev, last, err)
					}
					last = rev
					// One in two fails and must leave no gap.
					if _, err := db.InsertService(t.Context(), newService("taken"), change("x")); !errors.Is(err, directory.ErrExists) {
						t.Errorf("got %v, want ErrExists", err)
					}
				}
			})
		}
		stop := make(chan struct{})
		var loading sync.WaitGroup
		loading.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				state, err := db.Load(t.Context())
				if err != nil || int64(len(state.Services)) != state.Revision {
					t.Errorf("got %d services at revision %d, %v", len(state.Services), state.Revision, err)
					return
				}
			}
		})
		wg.Wait()
		close(stop)
		loading.Wait()
		state, err := db.Load(t.Context())
		must(t, err)
		if got := revision(t, db); got != writers*each+1 || got != int64(len(state.Services)) {
			t.Errorf("got revision %d with %d services", got, len(state.Services))
		}
	})
}

func TestOfManyEditorsOneWinsEachVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := insert(t, db, "m1")[0]
		won := make(chan string, 20)
		var wg sync.WaitGroup
		for i := range cap(won) {
			wg.Go(func() {
				n := s
				n.Description = fmt.Sprint(i)
				switch _, err := db.UpdateService(t.Context(), n, change("x")); {
				case err == nil:
					won <- n.Description
				case !errors.Is(err, directory.ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got, err := db.ReadService(t.Context(), s.UID)
		if err != nil || len(won) != 1 || got.Version != 2 || got.Description != <-won {
			t.Errorf("got %+v, %v and %d more winners", got, err, len(won))
		}
	})
}

func TestListsPageByKey(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		// By bytes, not by a language's order, on both engines.
		s := insert(t, db, "b", "a.b", "a-b", "C", "a_b", "ab", "2")
		const want = " 2 C a-b a.b a_b ab b"
		var got []directory.Service
		for {
			after := ""
			if len(got) > 0 {
				after = got[len(got)-1].Name
			}
			page, err := db.ListServices(t.Context(), after, 3)
			if err != nil || len(page) > 3 {
				t.Fatal(len(page), err)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
		}
		if n := names(got, func(s directory.Service) string { return s.Name }); n != want {
			t.Errorf("got%s, want%s", n, want)
		}

		for i, id := range []string{"c3", "c1", "c2", "c4"} {
			addCredential(t, db, s[i%2], id)
		}
		id := func(c directory.Credential) string { return c.ID }
		for _, c := range []struct {
			service directory.UID
			after   string
			limit   int
			want    string
		}{
			{directory.UID{}, "", 9, " c1 c2 c3 c4"},
			{directory.UID{}, "c2", 1, " c3"},
			{s[0].UID, "", 9, " c2 c3"},
			{s[0].UID, "c2", 9, " c3"},
			{s[5].UID, "", 9, ""},
			{directory.UID{}, "", 0, ""},
			{directory.UID{}, "", -1, ""},
		} {
			got, err := db.ListCredentials(t.Context(), directory.CredentialFilter{Service: c.service}, c.after, c.limit)
			if n := names(got, id); err != nil || n != c.want {
				t.Errorf("after %q: got%s, %v, want%s", c.after, n, err, c.want)
			}
		}

		for caller := range 3 {
			for target := range 3 {
				allow(t, db, s[caller], s[target])
			}
		}
		number := map[directory.UID]int{s[0].UID: 0, s[1].UID: 1, s[2].UID: 2}
		edge := func(r directory.Rule) string { return fmt.Sprint(number[r.Caller], "-", number[r.Target]) }
		for _, c := range []struct {
			caller, target directory.UID
			after          policy.Edge
			limit          int
			want           string
		}{
			{limit: 4, want: " 0-0 0-1 0-2 1-0"},
			{after: policy.Edge{Caller: s[1].UID, Target: s[1].UID}, limit: 9, want: " 1-2 2-0 2-1 2-2"},
			{caller: s[1].UID, limit: 9, want: " 1-0 1-1 1-2"},
			{target: s[1].UID, limit: 9, want: " 0-1 1-1 2-1"},
			{target: s[1].UID, after: policy.Edge{Caller: s[1].UID, Target: s[1].UID}, limit: 9, want: " 2-1"},
			{caller: s[2].UID, target: s[0].UID, limit: 9, want: " 2-0"},
			{caller: s[6].UID, limit: 9, want: ""},
		} {
			got, err := db.ListRules(t.Context(), c.caller, c.target, c.after, c.limit)
			if n := strings.ReplaceAll(names(got, edge), " - ", "-"); err != nil || n != c.want {
				t.Errorf("got%s, %v, want%s", n, err, c.want)
			}
		}
	})
}

func TestLastUseOnlyMovesForward(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := insert(t, db, "m1")[0]
		c := addCredential(t, db, s, "c1")
		uses := []directory.Use{
			{Credential: "absent", At: noon, From: "192.0.2.9"},
			{Credential: "c1", At: noon.Add(time.Second), From: "192.0.2.1"},
			{Credential: "c1", At: noon.Add(3 * time.Second), From: "192.0.2.3"},
			{Credential: "c1", At: noon.Add(2 * time.Second), From: "192.0.2.2"},
			{Credential: "c1", At: noon.Add(9 * time.Second), From: "not text \x00\xff"},
		}
		for i := range 2 * usesPerStatement { // more than one statement
			uses = append(uses, directory.Use{Credential: fmt.Sprint("absent", i), At: noon})
		}
		before := revision(t, db)
		for _, batch := range [][]directory.Use{nil, uses, uses[1:2]} {
			must(t, db.RecordUse(t.Context(), batch))
		}
		// A revocation made from what was read before must not turn it back.
		c.RevokedAt = noon
		if _, err := db.UpdateCredential(t.Context(), c, change("x")); err != nil {
			t.Fatal(err)
		}
		got, err := db.ReadCredential(t.Context(), "c1")
		if err != nil || !got.LastUsedAt.Equal(noon.Add(3*time.Second)) || got.LastUsedFrom != "192.0.2.3" {
			t.Errorf("got %+v, %v", got, err)
		}
		if now := revision(t, db); now != before+1 {
			t.Errorf("recording use made %d revisions", now-before-1)
		}
	})
}

// A change whose caller gives up is there with its record, or neither is.
func TestChangeAndRecordCommitTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := insert(t, db, "m0")[0]
		const tries = 200
		var wg sync.WaitGroup
		for i := range tries {
			ctx, cancel := context.WithCancel(t.Context())
			wg.Go(func() { db.InsertService(ctx, newService(fmt.Sprint("m", i+1)), change("x")) })
			wg.Go(func() {
				// Some work of varying length first, so that it falls into every phase.
				for range i % 20 {
					db.ReadService(t.Context(), s.UID)
				}
				cancel()
			})
			if i%5 == 4 {
				wg.Wait()
			}
		}
		wg.Wait()
		state, err := db.Load(t.Context())
		must(t, err)
		if got := revision(t, db); got != int64(len(state.Services)) {
			t.Errorf("got %d changes and %d services", got, len(state.Services))
		}
		t.Logf("%d of %d were committed", len(state.Services)-1, tries)
		if _, err := db.Heartbeat(t.Context()); err != nil {
			t.Errorf("after all that: %v", err)
		}
	})
}

// ADM-003, ADM-004: text from outside is data, and what cannot be stored is refused cleanly.
func TestHostileTextIsDataOrRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		for _, text := range []string{
			`'; DROP TABLE services; --`, `" OR 1=1`, `$1`, `?`, `\`, `%s`, `{}`, "\u202e", "e\u0301", strings.Repeat("x", 10<<10),
		} {
			s := newService(text)
			s.Description = text
			c := change(text)
			c.Detail = map[string]string{text: text}
			rev, err := db.InsertService(t.Context(), s, c)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if got, err := db.ReadService(t.Context(), s.UID); err != nil || !got.Equal(s) {
				t.Errorf("%q: got %+v, %v", text, got, err)
			}
			if got, err := db.ChangesAfter(t.Context(), rev-1, 1); err != nil || got[0].Subject != text || got[0].Detail[text] != text {
				t.Errorf("%q: got %+v, %v", text, got, err)
			}
			if _, err := db.ListServices(t.Context(), text, 1); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
		before := revision(t, db)
		var invalid *directory.InvalidError
		for _, text := range []string{"a\x00b", "\x00", "a\xffb", "\xed\xa0\x80"} {
			s := newService("fine")
			s.Description = text
			_, err1 := db.InsertService(t.Context(), s, change("x"))
			_, err2 := db.InsertService(t.Context(), newService("fine"), change(text))
			_, err3 := db.ListServices(t.Context(), text, 1)
			for i, err := range []error{err1, err2, err3} {
				if !errors.As(err, &invalid) {
					t.Errorf("%q: %d: got %v, want an InvalidError", text, i, err)
				}
			}
			if _, err := db.ReadCredential(t.Context(), text); !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("%q: got %v, want ErrNotFound", text, err)
			}
		}
		if now := revision(t, db); now != before {
			t.Errorf("refused text made %d revisions", now-before)
		}
	})
}

func TestTimeoutBoundsAllButLoading(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := insert(t, db, "m1")[0]
		db.o.Timeout = 1
		_, err1 := db.ReadService(t.Context(), s.UID)
		_, err2 := db.InsertService(t.Context(), newService("m2"), change("x"))
		for i, err := range []error{err1, err2} {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%d: got %v, want DeadlineExceeded", i, err)
			}
		}
		if state, err := db.Load(t.Context()); err != nil || len(state.Services) != 1 {
			t.Errorf("got %v, %v", state, err)
		}
	})
}

// F28: one credential has one replacement at a time, also if two replicas make one each.
func TestOneReplacementAtATime(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		owner := insert(t, db, "m1")[0]
		old := newCredential(owner, newID(0))
		mustInsert := func(c directory.Credential) error {
			_, err := db.InsertCredential(t.Context(), c, change(directory.SubjectCredential(c.ID)))
			return err
		}
		must(t, mustInsert(old))
		fresh := newCredential(owner, newID(1))
		fresh.Life, fresh.Replaces, fresh.Overlap = 90*24*time.Hour, old.ID, time.Minute
		must(t, mustInsert(fresh))
		if got, err := db.ReadCredential(t.Context(), fresh.ID); err != nil || got != fresh {
			t.Errorf("got %+v, %v; want %+v", got, err, fresh)
		}
		next := fresh
		next.ID = newID(2)
		if err := mustInsert(next); !errors.Is(err, directory.ErrConflict) {
			t.Errorf("a second replacement: got %v", err)
		}
		fresh.RevokedAt = noon
		if _, err := db.UpdateCredential(t.Context(), fresh, change(directory.SubjectCredential(fresh.ID))); err != nil {
			t.Fatal(err)
		}
		if err := mustInsert(next); err != nil {
			t.Errorf("after the first one was revoked: %v", err)
		}
	})
}

func newID(n int) string { return fmt.Sprintf("%032x", n) }

// must ends the test if something failed that has to succeed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
