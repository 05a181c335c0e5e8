// Package strictjson decodes a JSON text from outside as RFC 8259 and I-JSON (RFC 7493) require, which
// encoding/json does not: a repeated member, invalid UTF-8, a lone surrogate and bytes after the value are errors,
// and the names of members match only in their exact case. It does not know what the text means.
//
// It is a thin layer over github.com/go-json-experiment/json, which is the encoding/json/v2 of Go 1.27 for older
// toolchains. It adds two limits that the library does not have: the depth of nesting and the number of members.
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

// The limits of a text. Legitimate requests, JWT headers and claim sets are far below them.
const (
	MaxDepth   = 32
	MaxMembers = 256 // object members and array elements, on all levels together
)

var (
	// ErrTooComplex means that a text is nested deeper than MaxDepth or has more than MaxMembers members.
	ErrTooComplex = errors.New("JSON text nests too deeply or has too many members")
	// ErrTooLarge means that a text is longer than the caller's limit.
	ErrTooLarge = errors.New("JSON text is too large")
)

// Unmarshal decodes data, which must be exactly one JSON value. Members that v does not have are ignored.
func Unmarshal(data []byte, v any) error { return unmarshal(data, v, MaxMembers) }

// UnmarshalWide is Unmarshal with another limit on the number of members, for texts that contain a list.
func UnmarshalWide(data []byte, v any, members int) error { return unmarshal(data, v, members) }

// UnmarshalLong is Unmarshal without the limits on nesting and members. It is for texts whose signature has been
// verified.
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
		return errors.ErrUnsupported // the library then continues as without this function
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

// Read decodes the text in r, of which it reads at most limit+1 bytes. It returns ErrTooLarge for a longer text,
// unless what was read is already malformed.
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

// simple reports whether data is so short that it cannot exceed the limits, as most requests are. Then it need not be
// measured.
func simple(data []byte) bool {
	opens := bytes.Count(data, []byte("{")) + bytes.Count(data, []byte("["))
	return opens <= MaxDepth && opens+bytes.Count(data, []byte(",")) <= MaxMembers
}

// measure reads the tokens of data without allocating values, so that a text that exceeds the limits is refused
// before it is decoded.
func measure(data []byte, most int) error {
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	members := 0
	for {
		switch _, err := dec.ReadToken(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		members++
		// An object member is two tokens, its name and its value.
		if dec.StackDepth() > MaxDepth || members > 2*most {
			return ErrTooComplex
		}
		if dec.StackDepth() == 0 && members > 0 {
			return nil
		}
	}
}
