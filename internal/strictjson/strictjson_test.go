package strictjson

import (
	"errors"
	"strings"
	"testing"
	"time"
)

type body struct {
	Target string `json:"target"`
}

func TestWhatEncodingJSONLetsThroughIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"duplicate member":       `{"target":"m2","target":"m3"}`,
		"duplicate, escaped":     `{"target":"m2","t\u0061rget":"m3"}`,
		"invalid UTF-8":          "{\"target\":\"m\xff\"}",
		"lone surrogate":         `{"target":"\ud800"}`,
		"trailing value":         `{"target":"m2"}{}`,
		"trailing text":          `{"target":"m2"} x`,
		"byte order mark":        "\xef\xbb\xbf{\"target\":\"m2\"}",
		"UTF-16":                 "{\x00\"\x00}\x00",
		"comment":                `{"target":"m2"/**/}`,
		"trailing comma":         `{"target":"m2",}`,
		"NaN":                    `{"target":NaN}`,
		"wrong type":             `{"target":["m2"]}`,
		"empty":                  ``,
		"200 deep":               `{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
		"more members than real": `{"x":[` + strings.Repeat("1,", 600) + `1]}`,
	} {
		var b body
		if err := Unmarshal([]byte(text), &b); err == nil {
			t.Errorf("%s: accepted %q", name, text)
		}
	}
}

func TestMemberNamesMatchByCase(t *testing.T) {
	var b body
	if err := Unmarshal([]byte(`{"TARGET":"m3","\u212Aey":1}`), &b); err != nil || b.Target != "" {
		t.Errorf("got %+v, %v; want the member ignored", b, err)
	}
	if _, err := UnmarshalKnown([]byte(`{"TARGET":"m3"}`), &b); err == nil {
		t.Error("UnmarshalKnown accepted an unknown member")
	}
}

func TestReadTellsAbsentFromEmpty(t *testing.T) {
	type inner struct {
		Names []body `json:"names"`
		Count *int   `json:"count"`
	}
	var v struct {
		body
		Inner inner          `json:"inner"`
		Any   map[string]any `json:"any"`
	}
	read, err := UnmarshalKnown([]byte(`{"target":"","inner":{"names":[{},{"target":"m2"}]},"any":{"x":[1]}}`), &v)
	if err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]bool{
		"/target": true, "/inner": true, "/inner/names": true, "/inner/names/0/target": false, "/inner/names/1/target": true, "/inner/count": false, "/any": true,
	} {
		if read[pointer] != want {
			t.Errorf("%s: got %t", pointer, read[pointer])
		}
	}
	for _, null := range []string{`null`, `{"target":null}`, `{"inner":{"count":null}}`, `{"inner":{"names":[null]}}`, `{"any":null}`, `{"any":{"x":null}}`} {
		if _, err := UnmarshalKnown([]byte(null), &v); !errors.Is(err, errNull) {
			t.Errorf("%s: got %v", null, err)
		}
	}
}

func TestReadTellsTooLargeFromMalformed(t *testing.T) {
	var b body
	if err := Read(strings.NewReader(`{"target":"`+strings.Repeat("a", 100)+`"}`), 50, &b); !errors.Is(err, ErrTooLarge) {
		t.Errorf("long text: got %v, want ErrTooLarge", err)
	}
	if err := Read(strings.NewReader(strings.Repeat("a", 100)), 50, &b); err == nil || errors.Is(err, ErrTooLarge) {
		t.Errorf("long garbage: got %v, want a syntax error", err)
	}
	if err := Read(strings.NewReader(`{"x":[`+strings.Repeat("1,", 9000)), 5000, &b); !errors.Is(err, ErrTooComplex) {
		t.Errorf("wide text: got %v, want ErrTooComplex", err)
	}
	if err := Read(strings.NewReader(`{"target":"m2"}`), 15, &b); err != nil || b.Target != "m2" {
		t.Errorf("text of exactly the limit: got %+v, %v", b, err)
	}
}

// F16: what a caller is told has no word of the program in it.
func TestFaultNamesThePlaceAndNoType(t *testing.T) {
	type inner struct {
		Names []string  `json:"names"`
		At    time.Time `json:"at"`
		Count int8      `json:"count"`
	}
	for text, want := range map[string][2]string{
		`{"in":{"b":1}}`:          {"/in/b", "there is no such member"},
		`{"in":{"names":1}}`:      {"/in/names", "a number does not go here"},
		`{"in":{"names":[true]}}`: {"/in/names/0", "a boolean does not go here"},
		`{"in":{"at":"x"}}`:       {"/in/at", "must be a time such as 2026-11-24T12:00:00Z"},
		`{"in":{"count":1.5}}`:    {"/in/count", "invalid syntax"},
		`{"in":{"count":1000}}`:   {"/in/count", "value out of range"},
		`{"in":null}`:             {"/in", errNull.Error()},
		`{"in":{},"in":{}}`:       {"/in", "duplicate object member name"},
		`[]`:                      {"", "an array does not go here"},
		`{"in":`:                  {"/in", "unexpected EOF"},
		`{"in":{}} x`:             {"", "invalid character 'x' after top-level value"},
		strings.Repeat(`{"in":`, 40) + `1` + strings.Repeat(`}`, 40): {"", ErrTooComplex.Error()},
	} {
		var v struct {
			In inner `json:"in"`
		}
		_, err := UnmarshalKnown([]byte(text), &v)
		if pointer, said := Fault(err); pointer != want[0] || said != want[1] {
			t.Errorf("%s: got %q, %q", text, pointer, said)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"target":"m2"}`))
	f.Add([]byte(`{"target":"m2","target":"m3"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b body
		_ = Unmarshal(data, &b)
		var m map[string]any
		_ = Unmarshal(data, &m)
	})
}
