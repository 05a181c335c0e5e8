package credential

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// newFile makes a file that is not there yet.
func newFile(name string, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil, base.Next(fmt.Errorf("%s is there already, and credentials overwrite nothing", name), "Name another file, or remove this one.")
	}
	if err != nil {
		return nil, fmt.Errorf("make the file for the credential: %w", base.PathError(err))
	}
	return f, nil
}

// keep writes all of a new file to the disk, or removes it.
func keep(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write the credential: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// issueSecret makes a credential whose secret the server makes. The file is there before the
// credential, so that none is made that cannot be kept, and it is revoked when it could not be
// written all the same.
func issueSecret(c *base.CLI, ctx context.Context, admin *operator.Client, name string, issue issueCall) error {
	if name == "" {
		issued, err := issue(ctx)
		if err != nil {
			return err
		}
		sayIssued(c, issued)
		if c.JSON {
			if issued.Replaced.ID == "" {
				return c.PrintJSON(issued.IssuedCredential)
			}
			return c.PrintJSON(issued)
		}
		_, err = fmt.Fprintln(c.Stdout, issued.Token+issued.Secret)
		return err
	}
	f, err := newFile(name, 0o600)
	if err != nil {
		return err
	}
	issued, err := issue(ctx)
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(name))
	}
	if err := keep(f, []byte(issued.Token+issued.Secret+"\n")); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, undone := admin.RevokeCredential(ctx, issued.Credential.ID)
		return errors.Join(err, undone)
	}
	return sayWritten(c, issued, name)
}

func sayWritten(c *base.CLI, issued api.RotatedCredential, names ...string) error {
	sayIssued(c, issued)
	if c.JSON {
		answer := map[string]any{"credential": issued.Credential, "file": names[0]}
		if len(names) > 1 {
			answer["certificateFile"] = names[1]
		}
		if issued.Replaced.ID != "" {
			answer["replaced"] = issued.Replaced
		}
		return c.PrintJSON(answer)
	}
	return c.Printf("wrote %s", strings.Join(names, " and "))
}

// issueKey makes a pair, or reads the public half of one, and sends the public half. The private
// one is on the disk before the server knows of it.
func issueKey(c *base.CLI, ctx context.Context, n *newCredential, issue issueCall) error {
	if n.public != "" {
		raw, err := base.ReadFile(n.public)
		if err != nil {
			return err
		}
		jwk, err := publicJWK(raw)
		if err == nil {
			err = json.Unmarshal(jwk, &n.JWK)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", n.public, err)
		}
		return register(c, ctx, issue)
	}
	key, err := jose.GenerateKey(jose.Algorithm(n.algorithm))
	if err != nil {
		return err
	}
	private, err := privateFile(n.out, jose.Algorithm(n.algorithm), key)
	if err != nil {
		return err
	}
	id, err := jose.Thumbprint(key.Public())
	if err != nil {
		return err
	}
	jwk, err := jose.PublicKey{ID: id, Algorithm: jose.Algorithm(n.algorithm), Key: key.Public()}.JWK()
	if err == nil {
		err = json.Unmarshal(jwk, &n.JWK)
	}
	if err != nil {
		return err
	}
	f, err := newFile(n.out, 0o600)
	if err != nil {
		return err
	}
	if err := keep(f, private); err != nil {
		return err
	}
	issued, err := issue(ctx)
	if err != nil {
		return errors.Join(err, os.Remove(n.out))
	}
	return sayWritten(c, issued, n.out)
}

// issueCertificate makes a certificate that is signed by itself, or reads one, and sends it.
func issueCertificate(c *base.CLI, ctx context.Context, n *newCredential, service string, issue issueCall) error {
	if n.certificate != "" {
		raw, err := base.ReadFile(n.certificate)
		if err != nil {
			return err
		}
		if n.Certificate, err = firstCertificate(raw); err != nil {
			return fmt.Errorf("%s: %w", n.certificate, err)
		}
		return register(c, ctx, issue)
	}
	key, err := jose.GenerateKey(jose.Algorithm(n.algorithm))
	if err != nil {
		return err
	}
	if n.Certificate, err = selfSigned(service, key, n); err != nil {
		return err
	}
	private, err := pemOf(key)
	if err != nil {
		return err
	}
	written := []string{}
	undo := func(err error) error {
		for _, name := range written {
			err = errors.Join(err, os.Remove(name))
		}
		return err
	}
	for _, file := range []struct {
		name    string
		mode    fs.FileMode
		content []byte
	}{{n.out, 0o600, private}, {n.outCert, 0o644, []byte(n.Certificate)}} {
		f, err := newFile(file.name, file.mode)
		if err != nil {
			return undo(err)
		}
		if err := keep(f, file.content); err != nil {
			return undo(err)
		}
		written = append(written, file.name)
	}
	issued, err := issue(ctx)
	if err != nil {
		return undo(err)
	}
	return sayWritten(c, issued, written...)
}

// selfSigned makes a certificate for the service, for as long as the credential is good.
func selfSigned(service string, key crypto.Signer, n *newCredential) (string, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return "", err
	}
	from := time.Now()
	life := directory.DefaultCredentialTTL
	if n.TTLSeconds > 0 {
		life = time.Duration(n.TTLSeconds) * time.Second
	}
	until := from
	if n.NotBefore != nil {
		until = *n.NotBefore
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: service},
		// Clocks differ; and it ends after the credential, which is what counts.
		NotBefore: from.Add(-5 * time.Minute), NotAfter: until.Add(life + time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", fmt.Errorf("make a certificate: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

// privateFile is the content of the file of a private key: PEM where its name says so, else a JWK.
func privateFile(name string, alg jose.Algorithm, key crypto.Signer) ([]byte, error) {
	if strings.HasSuffix(name, ".pem") {
		return pemOf(key)
	}
	b, err := jose.PrivateJWK("", alg, key)
	return append(b, '\n'), err
}

func pemOf(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write the private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// publicJWK reads a public key, as JWK or PEM. A private one must not leave this machine.
func publicJWK(raw []byte) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	if bytes.HasPrefix(raw, []byte("{")) {
		_, canonical, err := jose.ParseClientJWK(raw)
		if err != nil {
			return nil, fmt.Errorf("not a public key that may sign for a service: %w", err)
		}
		return canonical, nil
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("neither a JWK nor PEM")
	}
	var public crypto.PublicKey
	var err error
	switch {
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, base.Next(errors.New("it is a private key, which stays where it is"), "Write its public half with: openssl pkey -in FILE -pubout -out PUBLIC")
	case block.Type == "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%q is not a public key: use PUBLIC KEY", block.Type)
	}
	if err != nil {
		return nil, errors.New("the public key cannot be read")
	}
	for _, alg := range jose.ClientAlgorithms() {
		k := jose.PublicKey{Algorithm: alg, Key: public}
		if k.ID, err = jose.Thumbprint(public); err != nil {
			break
		}
		var b []byte
		if b, err = k.JWK(); err == nil {
			return b, nil
		}
	}
	return nil, errors.New("not a public key that may sign for a service: use P-256, RSA of 2048 to 8192 bits, or Ed25519")
}

// firstCertificate is the certificate of the service in a file that may have its chain, too.
func firstCertificate(raw []byte) (string, error) {
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			return "", errors.New("no certificate in PEM")
		}
		if block.Type == "CERTIFICATE" {
			return string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})), nil
		}
	}
}
