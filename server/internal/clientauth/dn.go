package clientauth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A distinguished name, the most significant part last, as RFC 4514 writes it.
//
// Two are equal when they have the same attributes in the same order, and each value is the same
// text, to the letter: RFC 4517 would ignore case and repeated blanks, and how much of
// that authorities take for one name differs. In what ASN.1 type a value is written makes no
// difference, nor the order within a part that has several attributes.
type distinguishedName [][]attribute

type attribute struct{ oid, value string }

func (n distinguishedName) equal(o distinguishedName) bool {
	return slices.EqualFunc(n, o, slices.Equal[[]attribute])
}

// oids of the names RFC 4514, section 3 has, and of those that openssl and Go write beside them.
var oids = map[string]string{
	"CN": "2.5.4.3", "L": "2.5.4.7", "ST": "2.5.4.8", "O": "2.5.4.10", "OU": "2.5.4.11", "C": "2.5.4.6", "STREET": "2.5.4.9",
	"DC": "0.9.2342.19200300.100.1.25", "UID": "0.9.2342.19200300.100.1.1",
	"SERIALNUMBER": "2.5.4.5", "POSTALCODE": "2.5.4.17", "EMAILADDRESS": "1.2.840.113549.1.9.1",
}

// subjectDN is the subject of a certificate; empty when it cannot be compared.
func subjectDN(c *x509.Certificate) (n distinguishedName) {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(c.RawSubject, &sequence); err != nil || len(rest) > 0 {
		return nil
	}
	for _, set := range slices.Backward(sequence) {
		var part []attribute
		for _, a := range set {
			value, ok := a.Value.(string)
			if !ok {
				return nil
			}
			part = append(part, attribute{a.Type.String(), value})
		}
		n = append(n, sorted(part))
	}
	return n
}

func sorted(part []attribute) []attribute {
	slices.SortFunc(part, func(a, b attribute) int { return strings.Compare(a.oid+"="+a.value, b.oid+"="+b.value) })
	return part
}

var errDN = errors.New(`must be a distinguished name, as in CN=m6,O=Example,C=DE (RFC 4514; openssl x509 -noout -subject -nameopt RFC2253 prints it)`)

// parseDN reads the form of RFC 4514, section 3, with blanks after the commas if one likes.
func parseDN(s string) (n distinguishedName, err error) {
	r := dnReader{s}
	var part []attribute
	for {
		a, err := r.attribute()
		if err != nil {
			return nil, err
		}
		part = append(part, a)
		separator, more := r.next()
		if separator != '+' || !more {
			n, part = append(n, sorted(part)), nil
		}
		if !more {
			return n, nil
		}
	}
}

// dnReader has what is not read yet.
type dnReader struct{ rest string }

// next takes one byte.
func (r *dnReader) next() (c byte, ok bool) {
	if r.rest == "" {
		return 0, false
	}
	c, r.rest = r.rest[0], r.rest[1:]
	return c, true
}

// ends reports whether a value does.
func (r *dnReader) ends() bool { return r.rest == "" || r.rest[0] == ',' || r.rest[0] == '+' }

func (r *dnReader) attribute() (a attribute, err error) {
	name, rest, ok := strings.Cut(strings.TrimLeft(r.rest, " "), "=")
	if !ok {
		return a, errDN
	}
	if a.oid, ok = oids[strings.ToUpper(name)]; !ok {
		oid, err := x509.ParseOID(name)
		if err != nil {
			return a, fmt.Errorf("%w; the attribute %q is not known: write its OID", errDN, name)
		}
		a.oid = oid.String()
	}
	r.rest = rest
	if strings.HasPrefix(rest, "#") {
		a.value, err = r.encoded()
	} else {
		a.value, err = r.text()
	}
	if err == nil && (a.value == "" || !utf8.ValidString(a.value)) {
		err = errDN
	}
	return a, err
}

// encoded reads a value whose ASN.1 is written in hexadecimal.
func (r *dnReader) encoded() (string, error) {
	end := strings.IndexAny(r.rest, ",+")
	if end < 0 {
		end = len(r.rest)
	}
	der, err := hex.DecodeString(r.rest[1:end])
	if err != nil {
		return "", errDN
	}
	r.rest = r.rest[end:]
	var value any
	if rest, err := asn1.Unmarshal(der, &value); err != nil || len(rest) > 0 {
		return "", errDN
	}
	text, ok := value.(string)
	if !ok {
		return "", errDN
	}
	return text, nil
}

// text reads a value with its escapes.
func (r *dnReader) text() (string, error) {
	var value []byte
	if strings.HasPrefix(r.rest, " ") {
		return "", errDN
	}
	for !r.ends() {
		c, _ := r.next()
		switch c {
		case '\\':
			var ok bool
			if c, ok = r.escaped(); !ok {
				return "", errDN
			}
		case '"', ';', '<', '>', 0:
			return "", errDN
		case ' ':
			if r.ends() {
				return "", fmt.Errorf(`%w; a blank at the end of a value is written "\ "`, errDN)
			}
		}
		value = append(value, c)
	}
	return string(value), nil
}

// escaped reads what follows a backslash.
func (r *dnReader) escaped() (c byte, ok bool) {
	if r.rest != "" && strings.IndexByte(` "#+,;<=>\`, r.rest[0]) >= 0 {
		return r.next()
	}
	if len(r.rest) < 2 {
		return 0, false
	}
	b, err := hex.DecodeString(r.rest[:2])
	if err != nil {
		return 0, false
	}
	r.rest = r.rest[2:]
	return b[0], true
}
