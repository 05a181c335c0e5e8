package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

func TestSecretIsStoredOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		if got, err := db.Secret(t.Context(), "oauth"); got != nil || err != nil {
			t.Fatalf("of none: got %q, %v", got, err)
		}
		stored := make([]string, 20)
		var wg sync.WaitGroup
		for i := range stored {
			wg.Go(func() {
				got, err := db.PutSecret(t.Context(), "oauth", fmt.Append([]byte{0, 0xff}, i))
				if err != nil {
					t.Error(err)
				}
				stored[i] = string(got)
			})
		}
		wg.Wait()
		got, err := db.Secret(t.Context(), "oauth")
		for _, s := range stored {
			if s != string(got) || s == "" || err != nil {
				t.Errorf("one was told %q, stored is %q, %v", s, got, err)
			}
		}
		if got, err := db.Secret(t.Context(), "other"); got != nil || err != nil {
			t.Errorf("another name: got %q, %v", got, err)
		}
		if now := revision(t, db); now != 0 {
			t.Errorf("made %d revisions", now)
		}
	})
}

func TestSecretsAreResealedTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		for _, name := range []string{"a", "b"} {
			if _, err := db.PutSecret(t.Context(), name, []byte("old "+name)); err != nil {
				t.Fatal(err)
			}
		}
		broken := errors.New("cannot open")
		for _, c := range []struct {
			rewrap    func(name string, sealed []byte) ([]byte, bool, error)
			n         int
			err       error
			revisions int64
			want      string
		}{
			{func(string, []byte) ([]byte, bool, error) { return nil, false, nil }, 0, nil, 0, "old a, old b"},
			{func(name string, sealed []byte) ([]byte, bool, error) {
				if name == "b" {
					return nil, false, broken
				}
				return []byte("lost"), true, nil
			}, 0, broken, 0, "old a, old b"},
			{func(name string, sealed []byte) ([]byte, bool, error) {
				return append([]byte("new "), sealed...), name == "b", nil
			}, 1, nil, 1, "old a, new old b"},
		} {
			before := revision(t, db)
			n, err := db.ResealSecrets(t.Context(), c.rewrap, change(directory.SubjectKeys))
			if n != c.n || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) || revision(t, db)-before != c.revisions {
				t.Errorf("got %d, %v, want %d, %v, and %d revisions", n, err, c.n, c.err, c.revisions)
			}
			a, err1 := db.Secret(t.Context(), "a")
			b, err2 := db.Secret(t.Context(), "b")
			if got := fmt.Sprintf("%s, %s", a, b); errors.Join(err1, err2) != nil || got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		}
	})
}
