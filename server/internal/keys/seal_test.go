package keys

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// keyLine is a line of a sealing key file, the same for the same n.
func keyLine(n byte) string {
	key := sha256.Sum256([]byte{n})
	return base64.StdEncoding.EncodeToString(key[:]) + "\n"
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sealerOf has the keys of these lines.
func sealerOf(t testing.TB, lines ...string) *Sealer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sealing-key")
	writeFile(t, path, strings.Join(lines, ""))
	s, err := NewSealer(path, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealedOpensForItsRecordOnly(t *testing.T) {
	s := sealerOf(t, keyLine(1))
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.String().Draw(t, "id")
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed, err := s.Seal(id, plain)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Open(id, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("got %x, %v; want %x", got, err, plain)
		}
		if len(plain) >= 16 && bytes.Contains(sealed, plain) {
			t.Fatal("the secret is in the sealed bytes")
		}
		if _, err := s.Open(id+"x", sealed); !errors.Is(err, ErrSealBroken) {
			t.Fatalf("under another id: got %v, want ErrSealBroken", err)
		}
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "byte")
		sealed[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := s.Open(id, sealed); err == nil {
			t.Fatalf("opened with byte %d changed", i)
		}
	})
}

func TestEverySealIsDifferent(t *testing.T) {
	s := sealerOf(t, keyLine(1))
	a, _ := s.Seal("id", []byte("secret"))
	b, _ := s.Seal("id", []byte("secret"))
	if bytes.Equal(a[wrappedAt:], b[wrappedAt:]) || bytes.Equal(a[secretAt:], b[secretAt:]) {
		t.Error("two seals share bytes")
	}
}

func TestShortAndForeignBytesDoNotOpen(t *testing.T) {
	s := sealerOf(t, keyLine(1))
	sealed, _ := s.Seal("id", []byte("secret"))
	for n := range sealed {
		if _, err := s.Open("id", sealed[:n]); err == nil {
			t.Errorf("the first %d bytes opened", n)
		}
	}
	foreign, _ := sealerOf(t, keyLine(2)).Seal("id", []byte("secret"))
	_, err := s.Open("id", foreign)
	if !errors.Is(err, ErrUnknownKEK) || !strings.Contains(err.Error(), s.path) {
		t.Errorf("sealed elsewhere: got %v, want ErrUnknownKEK and the file", err)
	}
}

// ROT-010: the envelope's part.
func TestRewrappedSecretsNeedOnlyTheNewKey(t *testing.T) {
	s := sealerOf(t, keyLine(1))
	sealed, _ := s.Seal("id", []byte("secret"))

	writeFile(t, s.path, keyLine(2)+keyLine(1))
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	again, changed, err := s.Rewrap("id", sealed)
	if err != nil || !changed {
		t.Fatalf("got changed %v, %v", changed, err)
	}
	if same, changed, err := s.Rewrap("id", again); err != nil || changed || !bytes.Equal(same, again) {
		t.Errorf("rewrapping twice: got changed %v, %v", changed, err)
	}
	if got, err := sealerOf(t, keyLine(2)).Open("id", again); err != nil || string(got) != "secret" {
		t.Errorf("with the new key alone: got %q, %v", got, err)
	}
	if _, err := sealerOf(t, keyLine(1)).Open("id", again); !errors.Is(err, ErrUnknownKEK) {
		t.Errorf("with the old key alone: got %v, want ErrUnknownKEK", err)
	}
	if _, _, err := s.Rewrap("other", sealed); !errors.Is(err, ErrSealBroken) {
		t.Errorf("for another id: got %v, want ErrSealBroken", err)
	}
}

func TestLineAddedToTheFileIsFoundWhenNeeded(t *testing.T) {
	s, other := sealerOf(t, keyLine(1)), sealerOf(t, keyLine(2))
	sealed, _ := other.Seal("id", []byte("secret"))
	writeFile(t, s.path, keyLine(1)+keyLine(2))
	if got, err := s.Open("id", sealed); err != nil || string(got) != "secret" {
		t.Errorf("Open: got %q, %v", got, err)
	}
	writeFile(t, s.path, keyLine(3)+keyLine(1))
	sealed, err := s.Seal("id", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealerOf(t, keyLine(3)).Open("id", sealed); err != nil {
		t.Errorf("Seal did not use the line put first: %v", err)
	}
}

func TestSealingKeyFileIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealing-key")
	_, err := NewSealer(path, false)
	if err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
		t.Fatalf("missing file: got %v, want what to do", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("made a file it was told not to make")
	}
	s, err := NewSealer(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %#o, want 0600", info.Mode().Perm())
	}
	sealed, _ := s.Seal("id", []byte("secret"))
	again, err := NewSealer(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Open("id", sealed); err != nil {
		t.Errorf("the second start does not open what the first sealed: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files are in the folder, want 1", len(left))
	}
	if text, _ := os.ReadFile(path); len(text) != 45 {
		t.Errorf("the file has %d bytes, want one line of base64", len(text))
	}
}

func TestProcessesThatStartTogetherShareOneSealingKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealing-key")
	sealers := make(chan *Sealer)
	for range 8 {
		go func() {
			s, err := NewSealer(path, true)
			if err != nil {
				t.Error(err)
			}
			sealers <- s
		}()
	}
	first := <-sealers
	for range 7 {
		s := <-sealers
		if (*s.keks.Load())[0].id != (*first.keks.Load())[0].id {
			t.Error("two processes made two sealing keys")
		}
	}
}

func TestWrongSealingKeyFilesAreRefused(t *testing.T) {
	good := strings.TrimSpace(keyLine(1))
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "has no key"},
		{"comments only", "# made in 2026\n\n", "has no key"},
		{"a short key", "# one\n" + base64.StdEncoding.EncodeToString(make([]byte, 16)), "line 2 is not base64 of 32 bytes"},
		{"a long key", base64.StdEncoding.EncodeToString(make([]byte, 33)), "line 1 is not base64 of 32 bytes"},
		{"the URL alphabet", strings.Repeat("_", 43) + "=", "line 1 is not base64"},
		{"without padding", good[:43], "line 1 is not base64"},
		{"a break in the line", good[:20] + "\r" + good[21:], "line 1 is not base64"},
		{"trailing bits", good[:42] + "F=", "line 1 is not base64"},
		{"something after it", good + " # old", "line 1 is not base64"},
		{"a second line cut short", keyLine(1) + keyLine(2)[:30], "line 2 is not base64"},
		{"a line twice", keyLine(1) + keyLine(2) + keyLine(1), "line 3 repeats line 1"},
	} {
		path := filepath.Join(t.TempDir(), "sealing-key")
		writeFile(t, path, c.text)
		_, err := NewSealer(path, true)
		switch {
		case err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path):
			t.Errorf("%s: got %v, want %q and the path", c.name, err, c.want)
		case strings.Contains(err.Error(), good[:10]):
			t.Errorf("%s: the error quotes the key", c.name)
		}
		if text, _ := os.ReadFile(path); string(text) != c.text {
			t.Errorf("%s: the file was changed", c.name)
		}
	}
	many := ""
	for i := range maxSealingKeys + 1 {
		many += keyLine(byte(i))
	}
	if _, err := parseSealingKeys([]byte(many)); err == nil {
		t.Error("accepted too many lines")
	}
}

func TestSealingKeyFileOthersCanReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealing-key")
	writeFile(t, path, keyLine(1))
	for _, mode := range []os.FileMode{0o644, 0o640, 0o660, 0o604, 0o601, 0o610} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := NewSealer(path, true); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %#o: got %v, want the command that repairs it", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		must(t, os.Chmod(path, mode))
		if _, err := NewSealer(path, false); err != nil {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
	if _, err := NewSealer(filepath.Dir(path), true); err == nil {
		t.Error("a folder passed for a file")
	}
}

// F88: a sealing key that somebody can guess is refused.
func TestGuessableSealingKeyIsRefused(t *testing.T) {
	counting, down, few := make([]byte, kekSize), make([]byte, kekSize), make([]byte, kekSize)
	for i := range kekSize {
		counting[i], down[i], few[i] = byte(i), byte(250-i), "changed"[i%7]
	}
	for name, key := range map[string][]byte{
		"zeros": make([]byte, kekSize), "ones": bytes.Repeat([]byte{255}, kekSize), "counting up": counting, "counting down": down, "a word": few,
	} {
		_, err := parseSealingKeys([]byte(base64.StdEncoding.EncodeToString(key) + "\n"))
		if err == nil || !strings.Contains(err.Error(), "line 1 is not random") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for range 1000 {
		key := make([]byte, kekSize)
		if rand.Read(key); guessable(key) {
			t.Errorf("%x is taken for one that can be guessed", key)
		}
	}
}

func TestSealerDoesNotPrintKeys(t *testing.T) {
	s := sealerOf(t, keyLine(1))
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(format, s); got != "sealer of "+s.path {
			t.Errorf("%s prints %q", format, got)
		}
	}
}

func FuzzOpen(f *testing.F) {
	s := sealerOf(f, keyLine(1))
	sealed, _ := s.Seal("id", []byte("secret"))
	f.Add("id", sealed)
	f.Add("other", sealed)
	f.Add("id", sealed[:minSealed-1])
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, id string, data []byte) {
		plain, err := s.Open(id, data)
		again, _, rewrapErr := s.Rewrap(id, data)
		if err != nil {
			return
		}
		if rewrapErr != nil || !bytes.Equal(again, data) {
			t.Errorf("opens, but Rewrap answers %v", rewrapErr)
		}
		if id != "id" || string(plain) != "secret" {
			t.Errorf("opened something never sealed: %q for %q", plain, id)
		}
	})
}

func FuzzSealingKeys(f *testing.F) {
	f.Add([]byte(keyLine(1)))
	f.Add([]byte("# first\r\n" + keyLine(1) + "\n" + keyLine(2)))
	f.Add([]byte(keyLine(1) + keyLine(1)))
	f.Add([]byte(keyLine(1)[:43]))
	f.Add([]byte(strings.Repeat("A", 43) + "=")) // F88: a key of zeros
	f.Fuzz(func(t *testing.T, data []byte) {
		keks, err := parseSealingKeys(data)
		switch {
		case err == nil && (len(keks) == 0 || len(keks) > maxSealingKeys):
			t.Errorf("%d keys and no error", len(keks))
		case err != nil && keks != nil:
			t.Error("keys and an error")
		}
		for _, line := range strings.Fields(string(data)) {
			if err != nil && len(line) > 16 && strings.Contains(err.Error(), line) {
				t.Errorf("the error quotes the file: %v", err)
			}
		}
	})
}
