// Package strictjson decodes one JSON text from outside, the way RFC 8259 and
// I-JSON (RFC 7493) ask and encoding/json does not: a repeated member, invalid UTF-8, a
// lone surrogate and bytes after the value are errors, and members are known by their exact
// case only. It knows nothing of what the text means.
//
// It is a thin layer over github.com/go-json-experiment/json, which is the
// encoding/json/v2 of Go 1.27 for older toolchains, and adds the two limits that
// library leaves out: nesting and number of members.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of one text. A legitimate request, JWT header or claim set stays far below.
const (
	MaxDepth   = 32
	MaxMembers = 256 // object members and array elements, all levels together
)

var (
	// ErrTooComplex says that a text nests deeper than MaxDepth or has more than MaxMembers.
	ErrTooComplex = errors.New("JSON text nests too deeply or has too many members")
	// ErrTooLarge says that a text goes on past the caller's byte limit.
	ErrTooLarge = errors.New("JSON text is too large")
)

// Unmarshal decodes data, which must hold exactly one JSON value. Members v does not
// name are ignored.
func Unmarshal(data []byte, v any) error { return unmarshal(data, v, MaxMembers) }

// UnmarshalWide is Unmarshal with another bound on the members, for texts that hold a list.
func UnmarshalWide(data []byte, v any, members int) error { return unmarshal(data, v, members) }

// UnmarshalLong is Unmarshal without the limits on nesting and members, for a text whose sender
// is known: one whose signature has been checked.
func UnmarshalLong(data []byte, v any) error { return json.Unmarshal(data, v) }

// UnmarshalKnown is Unmarshal, but a member that v does not name is an error, and so is null. It returns
// the JSON pointers (RFC 6901) of the values it read: they tell a member that is absent from one that is
// empty.
func UnmarshalKnown(data []byte, v any) (read map[string]bool, err error) {
	read = map[string]bool{}
	note := func(dec *jsontext.Decoder, _ any) error {
		if dec.PeekKind() == jsontext.KindNull {
			return errNull
		}
		read[string(dec.StackPointer())] = true
		return errors.ErrUnsupported // let the library go on as it does without this function
	}
	return read, unmarshal(data, v, MaxMembers, json.RejectUnknownMembers(true), json.WithUnmarshalers(json.UnmarshalFromFunc(note)))
}

var errNull = errors.New("null is no value here: leave the member out")

// Fault returns where in a text an error of this package is, as a JSON pointer, and what is wrong there, in words
// that name no Go type.
func Fault(err error) (pointer, text string) {
	var (
		semantic  *json.SemanticError
		syntactic *jsontext.SyntacticError
		badTime   *time.ParseError
	)
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return string(semantic.JSONPointer), "there is no such member"
	case errors.As(err, &badTime) && errors.As(err, &semantic):
		return string(semantic.JSONPointer), "must be a time such as 2026-11-24T12:00:00Z"
	case errors.As(err, &semantic) && semantic.Err != nil:
		return string(semantic.JSONPointer), semantic.Err.Error()
	case errors.As(err, &semantic):
		return string(semantic.JSONPointer), kinds[semantic.JSONKind] + " does not go here"
	case errors.As(err, &syntactic):
		return string(syntactic.JSONPointer), syntactic.Err.Error()
	}
	return "", err.Error()
}

var kinds = map[jsontext.Kind]string{
	jsontext.KindTrue: "a boolean", jsontext.KindFalse: "a boolean", jsontext.KindString: "a string",
	jsontext.KindNumber: "a number", jsontext.KindBeginObject: "an object", jsontext.KindBeginArray: "an array",
}

func unmarshal(data []byte, v any, members int, options ...json.Options) error {
	if !simple(data) {
		if err := measure(data, members); err != nil {
			return err
		}
	}
	return json.Unmarshal(data, v, options...)
}

// Read decodes the text in r, of which it reads no more than limit+1 bytes. A text over
// the limit is ErrTooLarge, unless what was read is already malformed: then that error.
func Read(r io.Reader, limit int64, v any) error {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return fmt.Errorf("read JSON text: %w", err)
	}
	if int64(len(data)) > limit {
		if err := measure(data, MaxMembers); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		return ErrTooLarge
	}
	return Unmarshal(data, v)
}

// simple reports that data cannot be over the limits even if every such byte counted, as is
// so for the texts of real requests. It need not be walked then.
func simple(data []byte) bool {
	opens := bytes.Count(data, []byte("{")) + bytes.Count(data, []byte("["))
	return opens <= MaxDepth && opens+bytes.Count(data, []byte(",")) <= MaxMembers
}

// measure walks the tokens of data, without allocating values, so that a text too deep
// or too wide is refused before anything is built from it.
func measure(data []byte, most int) error {
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	members := 0
	for {
		switch _, err := dec.ReadToken(); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		members++
		// Each object member is two tokens, its name and its value.
		if dec.StackDepth() > MaxDepth || members > 2*most {
			return ErrTooComplex
		}
		if dec.StackDepth() == 0 && members > 0 {
			return nil
		}
	}
}
