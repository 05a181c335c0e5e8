package audit

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"
)

func TestLineSaysWhatTheEventSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Event{
			At:   time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at")).UTC(),
			Kind: KindChange, Revision: rapid.Int64().Draw(t, "revision"),
		}
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.SampledFrom([]string{"\u2028\u2029", `"\`, "\x7f\x1b[31m", "\xff\xfe", "\u202e", "\U0001F511", "\U000E0001", "\ufffd", `","hash":"`}))
		v := reflect.ValueOf(&want).Elem()
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.String && v.Type().Field(i).Name != "Kind" {
				v.Field(i).SetString(text.Draw(t, v.Type().Field(i).Name))
			}
		}
		want.Detail = rapid.MapOfN(rapid.StringN(1, 20, -1), text, 1, 5).Draw(t, "detail")

		before := link{seq: rapid.Uint64Range(0, 1<<62).Draw(t, "seq")}
		line, next := before.appendRecord(nil, &want)
		got, err := ParseLine(line)
		if err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		for i := range v.NumField() { // what is not UTF-8 cannot be kept
			if f := v.Field(i); f.Kind() == reflect.String {
				f.SetString(cleaned(f.String()))
			}
		}
		for k, s := range want.Detail {
			want.Detail[k] = cleaned(s)
		}
		if got.Seq != next.seq || !reflect.DeepEqual(got.Event, want) {
			t.Errorf("got  %+v\nwant %+v", got.Event, want)
		}
		for _, r := range strings.TrimSuffix(string(line), "\n") {
			if !unicode.IsPrint(r) {
				t.Errorf("%q in the line does not print", r)
			}
		}
	})
}

// cleaned is s as Go ranges over it: each byte that is not UTF-8 is U+FFFD.
func cleaned(s string) string { return string([]rune(s)) }

func TestLinesStayFarBelowWhatReadersTake(t *testing.T) {
	e := Event{Detail: map[string]string{}}
	huge := strings.Repeat("\x01", 100_000)
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.String {
			v.Field(i).SetString(huge)
		}
	}
	for i := range 100 {
		e.Detail[string(rune('a'+i))+huge] = huge
	}
	line, _ := link{}.appendRecord(nil, &e)
	// F02: what is escaped takes no more room than what is not.
	if len(line) > 90*maxField {
		t.Errorf("got a line of %d bytes, want at most %d", len(line), 90*maxField)
	}
	if r, err := ParseLine(line); err != nil || !strings.HasSuffix(r.Caller, cutMark) || len(r.Caller) < maxField/6-10 {
		t.Errorf("got a caller of %d bytes, %v; want it cut and marked", len(r.Caller), err)
	}
	for s, want := range map[string]int{strings.Repeat("x", maxField): maxField, strings.Repeat("x", maxField-1) + "\x01": maxField, huge: maxField} {
		if got := len(appendString(nil, s)) - len(`""`); got > want || got < want-20 {
			t.Errorf("%q...: got %d bytes, want %d", s[:3], got, want)
		}
	}
}

func TestTimesAreRFC3339(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC), "2026-01-02T03:04:05.000006Z"},
		{time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, time.FixedZone("", -3600)), "2027-01-01T00:59:59.999999Z"},
		{time.Date(-5, 2, 29, 0, 0, 0, 0, time.UTC), "0000-01-01T00:00:00.000000Z"},
		{time.Date(12000, 2, 29, 0, 0, 0, 0, time.UTC), "9999-12-31T23:59:59.999999Z"},
	} {
		got := string(appendTime(nil, c.at))
		if _, err := time.Parse(time.RFC3339, got); got != c.want || err != nil {
			t.Errorf("%v: got %q, %v; want %q", c.at, got, err, c.want)
		}
	}
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	line := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { line, _ = link{}.appendRecord(line[:0], &sample) }); n != 0 {
		t.Errorf("appendRecord allocates %v times", n)
	}
}

func FuzzParseLine(f *testing.F) {
	line, l := link{}.appendRecord(nil, &sample)
	f.Add(line)
	line, _ = l.appendRecord(nil, &Event{Detail: map[string]string{"a": "\u2028"}})
	f.Add(line)
	f.Add(line[:len(line)-1])
	f.Add(bytes.Replace(line, []byte(`"seq":2`), []byte(`"seq":02`), 1))
	f.Add([]byte(openText + "1," + prevText + hashText))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseLine(line)
		if err != nil {
			return
		}
		if seq, ok := seqOf(line); !ok || seq != r.Seq {
			t.Errorf("seqOf says %d, ParseLine says %d", seq, r.Seq)
		}
	})
}
