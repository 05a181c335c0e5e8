package keys

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/watchword-dev/watchword/internal/jose"
)

// snapshot is the ring as the store had it, opened. It is immutable.
type snapshot struct {
	records   []Record // oldest first
	signers   map[Lane]*jose.Signer
	opened    map[string]*jose.Signer // by kid: what signs and what is next
	verifiers map[Use]*jose.KeySet
	jwks      []byte
	etag      string
	// failed is why the active key of a lane cannot sign, broken the same for all of them.
	failed map[Lane]error
	broken error
	// warning is why a key cannot be used that is not needed yet.
	warning error
}

var (
	errNotLoaded = errors.New("key ring is not loaded yet")
	noKeys       = jose.NewKeySet()
)

// Signer is the key that signs now for use with alg, and with no other algorithm: a target's
// verifier accepts only the one it asked for (RFC 8725, section 3.1).
func (r *Ring) Signer(use Use, alg jose.Algorithm) (*jose.Signer, error) {
	s, l := r.snapshot.Load(), Lane{use, string(alg)}
	if signer := s.signers[l]; signer != nil {
		return signer, nil
	}
	err := ErrNotFound
	switch {
	case s.failed[l] != nil:
		err = s.failed[l]
	case len(s.records) == 0:
		err = errNotLoaded
	}
	return nil, fmt.Errorf("no %s key signs with %s: %w", use, alg, err)
}

// Verifiers are the public keys of use that are not revoked: those that are next as well,
// because another replica may sign with one a moment before this one hears of it.
func (r *Ring) Verifiers(use Use) *jose.KeySet {
	if set := r.snapshot.Load().verifiers[use]; set != nil {
		return set
	}
	return noKeys
}

// List is all keys, oldest first, without their private halves.
func (r *Ring) List() []Record {
	records := slices.Clone(r.snapshot.Load().records)
	for i := range records {
		records[i].Sealed = nil
	}
	return records
}

// Healthy is nil while every active key can sign.
func (r *Ring) Healthy() error { return r.snapshot.Load().broken }

// open makes a snapshot of records, which it keeps. What old has open already stays open, so that a replica
// whose sealing key file lags behind goes on signing.
func (r *Ring) open(records []Record, old *snapshot) *snapshot {
	s := &snapshot{
		records: records,
		signers: map[Lane]*jose.Signer{}, failed: map[Lane]error{}, opened: map[string]*jose.Signer{}, verifiers: map[Use]*jose.KeySet{},
	}
	if len(records) == 0 {
		s.broken = errNotLoaded
	}
	public := map[Use][]jose.PublicKey{}
	for _, k := range s.records {
		if k.State == StateRevoked {
			continue
		}
		pub, err := publicKey(k)
		if err != nil {
			s.fail(k, err)
			continue
		}
		public[k.Use] = append(public[k.Use], pub)
		if k.State != StateActive && k.State != StateNext {
			continue
		}
		signer := old.opened[k.ID]
		if signer == nil {
			signer, err = r.signer(k, pub.Algorithm)
		}
		if err != nil {
			s.fail(k, err)
			continue
		}
		s.opened[k.ID] = signer
		if k.State == StateActive {
			s.signers[k.lane()] = signer
		}
	}
	for use, keys := range public {
		s.verifiers[use] = jose.NewKeySet(keys...)
	}
	if set := s.verifiers[UseAccess]; set != nil {
		s.jwks = set.JSON()
		sum := sha256.Sum256(s.jwks)
		s.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	}
	return s
}

func (s *snapshot) fail(k Record, err error) {
	err = fmt.Errorf("%s %s key of %s %s: %w", k.State, k.Use, k.Algorithm, k.ID, err)
	if k.State == StateActive {
		s.failed[k.lane()] = err
		s.broken = errors.Join(s.broken, err)
	} else {
		s.warning = errors.Join(s.warning, err)
	}
}

// publicKey reads the public half and holds it against the rest of the record.
func publicKey(k Record) (jose.PublicKey, error) {
	pub, err := jose.ParseJWK(k.Public)
	if err != nil {
		return pub, fmt.Errorf("read public key: %w", err)
	}
	if id, err := jose.Thumbprint(pub.Key); err != nil || id != k.ID || pub.ID != k.ID || string(pub.Algorithm) != k.Algorithm {
		return pub, errors.New("public key does not belong to this record")
	}
	return pub, nil
}

// signer opens the private half.
func (r *Ring) signer(k Record, alg jose.Algorithm) (*jose.Signer, error) {
	der, err := r.sealer.Open(k.ID, k.Sealed)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	defer clear(der)
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("private key is not PKCS #8") // the cause may quote it
	}
	private, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key of type %T cannot sign", key)
	}
	if id, err := jose.Thumbprint(private.Public()); err != nil || id != k.ID {
		return nil, errors.New("private key does not belong to the public one")
	}
	return jose.NewSigner(k.ID, alg, private)
}

// mint makes a key, with its private half sealed.
func (r *Ring) mint(algorithm string) (k Record, err error) {
	alg, err := jose.ParseAlgorithm(algorithm)
	if err != nil {
		return k, err
	}
	key, err := jose.GenerateKey(alg)
	if err != nil {
		return k, err
	}
	if k.ID, err = jose.Thumbprint(key.Public()); err != nil {
		return k, err
	}
	if k.Public, err = (jose.PublicKey{ID: k.ID, Algorithm: alg, Key: key.Public()}).JWK(); err != nil {
		return k, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return k, err
	}
	defer clear(der)
	k.Sealed, err = r.sealer.Seal(k.ID, der)
	return k, err
}
