package keysets

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// content is what a source published. It is immutable.
type content struct {
	keys        []jose.PublicKey // one for each algorithm of a key, beside each other
	authorities []*x509.Certificate
	sequence    *int64        // spiffe_sequence
	hint        time.Duration // spiffe_refresh_hint
}

func (c *content) signed(find *Search) bool {
	return slices.ContainsFunc(c.keys, func(k jose.PublicKey) bool { return find.SignedBy(&k) })
}

// fresh is how long c serves before it is fetched again. A bundle may say less than the default, and not more: its keys
// would remain valid for longer after they were withdrawn.
func (c *content) fresh(o Options) time.Duration {
	if c.hint <= 0 {
		return o.Fresh
	}
	return min(max(c.hint, o.Refetch), o.Fresh)
}

// list returns the keys that verify signatures of src.
func (c *content) list(src *Source) (all []Key) {
	var last crypto.PublicKey
	for _, k := range c.keys {
		if src.Kind != Client && !slices.Contains(src.Algorithms, k.Algorithm) {
			continue
		}
		if last == nil || !last.(interface{ Equal(crypto.PublicKey) bool }).Equal(k.Key) || all[len(all)-1].ID != k.ID {
			thumbprint, _ := jose.Thumbprint(k.Key) // all types of keys that are read have one
			all, last = append(all, Key{ID: k.ID, Thumbprint: thumbprint}), k.Key
		}
		key := &all[len(all)-1]
		key.Algorithms = append(key.Algorithms, k.Algorithm)
	}
	return all
}

// read reads the keys of src, and its uploaded authorities. Uploaded keys may be absent if there are authorities.
func read(src *Source, b []byte, uploaded bool) (*content, error) {
	authorities, err := readPEM(src.Authorities)
	if err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	}
	if uploaded && len(b) == 0 {
		if len(authorities) == 0 {
			return nil, errors.New("no key is known: give the URL of the keys, or upload the keys or the certificates of the authorities")
		}
		return &content{authorities: authorities}, nil
	}
	c, _, err := readSet(src, b)
	if err != nil {
		return nil, err
	}
	c.authorities = append(authorities, c.authorities...)
	return c, nil
}

// readSet reads a key set or bundle. Keys that cannot be used are ignored (RFC 7517, section 5); faults are why.
func readSet(src *Source, b []byte) (c *content, faults []error, err error) {
	c = &content{}
	if src.Kind == Client {
		c.keys, err = jose.ParseClientKeys(b)
		return c, nil, err
	}
	members, err := jose.KeySetMembers(b)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range members {
		if err := c.add(src, m); err != nil {
			faults = append(faults, err)
		}
	}
	if src.Kind == SPIFFE {
		if err := c.readBundle(b); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case len(c.keys)+len(c.authorities) > 0:
	case len(members) > 0:
		return nil, nil, fmt.Errorf("none of the %d keys can be used; the first: %w", len(members), faults[0])
	case src.Kind != SPIFFE: // an empty bundle withdraws all keys
		return nil, nil, errors.New("the key set is empty")
	}
	return c, faults, nil
}

// add adds a member of a key set.
func (c *content) add(src *Source, member []byte) error {
	if src.Kind == Platform {
		keys, err := jose.ParsePlatformJWK(member, "sig", jose.PlatformAlgorithms())
		c.keys = append(c.keys, keys...)
		return err
	}
	var m struct {
		Use   string   `json:"use"`
		Chain []string `json:"x5c"`
	}
	if err := strictjson.Unmarshal(member, &m); err != nil {
		return fmt.Errorf("malformed JWK: %w", err)
	}
	if m.Use != "x509-svid" {
		keys, err := jose.ParsePlatformJWK(member, "jwt-svid", jose.PlatformAlgorithms())
		if err == nil && keys[0].ID == "" {
			return errors.New("a key for JWT-SVIDs has no kid")
		}
		c.keys = append(c.keys, keys...)
		return err
	}
	// X509-SVID, section 6.2: the first one counts.
	if len(m.Chain) == 0 {
		return errors.New("a key for X.509-SVIDs has no certificate (x5c)")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(m.Chain[0])
	if err != nil {
		return fmt.Errorf("a certificate (x5c) is not base64: %w", err)
	}
	certificate, err := readAuthority(der)
	if err != nil {
		return err
	}
	c.authorities = append(c.authorities, certificate)
	return nil
}

// readBundle reads what a bundle has besides keys (The SPIFFE Trust Domain and Bundle, sections 4.1.1 and 4.1.2).
func (c *content) readBundle(b []byte) error {
	var m struct {
		Sequence *int64 `json:"spiffe_sequence"`
		Hint     int64  `json:"spiffe_refresh_hint"` // seconds
	}
	if err := strictjson.UnmarshalWide(b, &m, maxMembers); err != nil {
		return fmt.Errorf("read the bundle: %w", err)
	}
	c.sequence = m.Sequence
	// A day is more than any hint changes here, and does not overflow.
	c.hint = time.Duration(min(max(m.Hint, 0), 24*60*60)) * time.Second
	return nil
}

// maxMembers is the most members of a bundle or discovery document, more than package jose reads of a key set.
const maxMembers = 1 << 14

func readPEM(text string) (all []*x509.Certificate, err error) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("there is a PEM block of type %q: upload certificates only", clip(block.Type))
		}
		certificate, err := readAuthority(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, certificate)
	}
	if text != "" && len(all) == 0 {
		return nil, errors.New("there is no certificate in PEM")
	}
	return all, nil
}

func readAuthority(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read a certificate: %w", err)
	case !c.IsCA:
		return nil, errors.New("a certificate is not that of an authority (cA is not set)")
	}
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok {
		if err := jose.CheckRSA(key); err != nil {
			return nil, fmt.Errorf("the certificate of an authority: %w", err)
		}
	}
	return c, nil
}
