package audit

import (
	"context"
	"testing"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		l, err := Open(dir, Options{MaxSize: 5000, Sign: func(p []byte) (string, string, error) { return string(p), "k", nil }})
		if err != nil {
			t.Fatal(err)
		}
		go l.Run(t.Context())
		for range 100 {
			if err := l.Append(context.Background(), sample); err != nil {
				t.Fatal(err)
			}
		}
		l.Close()
	}
	r, err := VerifyDir(dir, func(s string) ([]byte, error) { return []byte(s), nil })
	t.Logf("%+v %v", r, err)
	if err != nil || r.Bad != nil || r.Records != 306 {
		t.Fatal(r.Bad)
	}
	Tail(t.Context(), dir, 3, false, func(l []byte) error { t.Logf("%s", l); return nil })
}
