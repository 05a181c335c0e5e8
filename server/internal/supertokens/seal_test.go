package supertokens_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
)

func TestKeyThatCannotBeOpenedStopsTheDoor(t *testing.T) {
	db, c := newStore(t), newClock()
	newReplica(t, db, newSealer(t), c, supertokens.Options{}).kids(t, jwksPath)
	f := newReplica(t, db, newSealer(t), c, supertokens.Options{}) // another sealing key
	for _, r := range []struct{ method, path, body string }{
		{"GET", jwksPath, ""}, {"POST", "/recipe/jwt", request()},
	} {
		if got := f.do(r.method, r.path, r.body, keyed).StatusCode; got != 503 {
			t.Errorf("%s %s: %d, want 503", r.method, r.path, got)
		}
	}
	if err := f.Load(t.Context()); err == nil {
		t.Error("Load found nothing wrong")
	}
	if stored, err := db.SigningKeys(t.Context(), "public"); err != nil || len(stored) != 2 {
		t.Errorf("the interface made new keys over those it cannot open: %v, %v", stored, err)
	}
}

func TestKeyOfOneAppDoesNotOpenAsAnothers(t *testing.T) {
	db, sealer, c := newStore(t), newSealer(t), newClock()
	newReplica(t, db, sealer, c, supertokens.Options{}).kids(t, jwksPath)
	stored, err := db.SigningKeys(t.Context(), "public")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range stored {
		k.App = "m2m-auth"
		if ok, err := db.InsertSigningKey(t.Context(), k, time.Time{}, directory.Change{Action: "test"}); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	f := newReplica(t, db, sealer, c, supertokens.Options{})
	if got := f.do("GET", "/appid-m2m-auth"+jwksPath, "", nil).StatusCode; got != 503 {
		t.Errorf("keys of public, put in the place of m2m-auth's: %d, want 503", got)
	}
}

func TestResealedKeysOpenWithTheNewSealingKeyAlone(t *testing.T) {
	db, c := newStore(t), newClock()
	path := filepath.Join(t.TempDir(), "sealing.key")
	sealer, err := keys.NewSealer(path, true)
	if err != nil {
		t.Fatal(err)
	}
	f := newReplica(t, db, sealer, c, supertokens.Options{})
	before := append(f.kids(t, jwksPath), f.kids(t, "/appid-m2m-auth"+jwksPath)...)

	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	line := base64.StdEncoding.EncodeToString([]byte("another key of 32 different bytes"[:32])) + "\n"
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := sealer.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	write(line + string(old))
	var resealer keys.Resealer = supertokens.Resealer{Store: db}
	for _, want := range []int{4, 0} {
		if n, err := resealer.Reseal(t.Context(), directory.Author{Actor: "operator"}, sealer); n != want || err != nil {
			t.Errorf("resealed %d, %v, want %d", n, err, want)
		}
	}
	write(line)
	f = newReplica(t, db, sealer, c, supertokens.Options{})
	after := append(f.kids(t, jwksPath), f.kids(t, "/appid-m2m-auth"+jwksPath)...)
	if !slices.Equal(before, after) {
		t.Errorf("keys %v, before %v", after, before)
	}
}
