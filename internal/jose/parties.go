package jose

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxActors is the maximum length of an act chain. Authorization servers allow fewer.
const MaxActors = 16

var (
	errNotObject  = errors.New("not a JSON object")
	errNotStrings = errors.New("not an array of strings")
	errNoSubject  = errors.New("it has no sub")
	errTooMany    = errors.New("chain of actors is too long")
)

// confirmation is cnf (RFC 7800, section 3.1). Unknown members are ignored. A token that has only those cannot be used.
type confirmation struct {
	set bool

	Thumbprint, Certificate text
}

func (c *confirmation) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var m struct {
		Thumbprint  text `json:"jkt"`
		Certificate text `json:"x5t#S256"`
	}
	if dec.PeekKind() != '{' {
		return errNotObject
	}
	err := json.UnmarshalDecode(dec, &m)
	*c = confirmation{true, m.Thumbprint, m.Certificate}
	return err
}

// actors are the sub claims of an act chain, the outermost first.
type actors []string

func (a *actors) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var m struct {
		Subject text   `json:"sub"`
		Former  actors `json:"act"`
	}
	if dec.PeekKind() != '{' {
		return errNotObject
	}
	// Package strictjson limits the depth.
	if err := json.UnmarshalDecode(dec, &m); err != nil {
		return err
	}
	switch {
	case m.Subject.s == "":
		return errNoSubject
	case len(m.Former) >= MaxActors:
		return errTooMany
	}
	*a = append([]string{m.Subject.s}, m.Former...)
	return nil
}

// party is the sub of may_act. Other members would be restrictions that are not checked, so they are errors.
type party string

func (p *party) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var m struct {
		Subject text `json:"sub"`
	}
	if dec.PeekKind() != '{' {
		return errNotObject
	}
	if err := json.UnmarshalDecode(dec, &m); err != nil {
		return err
	}
	if m.Subject.s == "" {
		return errNoSubject
	}
	*p = party(m.Subject.s)
	return nil
}

// texts is an array of strings without null.
type texts []string

func (l *texts) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '[' {
		return errNotStrings
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		var t text
		if err := t.UnmarshalJSONFrom(dec); err != nil {
			return err
		}
		*l = append(*l, t.s)
	}
	_, err := dec.ReadToken()
	return err
}
