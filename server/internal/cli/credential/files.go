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
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// room is more than the length of a credential.
const room = 8 << 10

// issueSecret creates a credential whose secret the server makes, and writes it to a new file, or to stdout
// if name is empty. What can fail here is done before the request. If the secret cannot be written all the
// same, the credential is revoked, since nobody has it.
func issueSecret(c *base.CLI, ctx context.Context, admin *operator.Client, name string, issue issueCall) error {
	write, discard, err := placeFor(c, name)
	if err != nil {
		return err
	}
	issued, err := issue(ctx)
	if err != nil {
		return errors.Join(err, discard())
	}
	if err := write(issued); err != nil {
		return withdraw(ctx, admin, issued, errors.Join(err, discard()))
	}
	if name != "" {
		return sayWritten(c, issued, name)
	}
	sayIssued(c, issued)
	return nil
}

// placeFor prepares the place to which a credential is written, with enough room on the disk.
func placeFor(c *base.CLI, name string) (write func(api.RotatedCredential) error, discard func() error, err error) {
	if name == "" {
		signal.Ignore(syscall.SIGPIPE) // a reader that is gone is an error here, and not the end of the process
		if _, err := c.Stdout.Write(nil); err != nil {
			return nil, nil, fmt.Errorf("the credential could not be written: %w", base.PathError(err))
		}
		return func(issued api.RotatedCredential) error {
			if c.JSON && issued.Replaced.ID == "" {
				return c.PrintJSON(issued.IssuedCredential)
			}
			if c.JSON {
				return c.PrintJSON(issued)
			}
			return c.Answer(issued.Token + issued.Secret + "\n")
		}, func() error { return nil }, nil
	}
	f, err := base.NewFile(name, 0o600)
	if err != nil {
		return nil, nil, err
	}
	discard = func() error {
		_ = f.Close() // it may be closed already
		return os.Remove(name)
	}
	_, err = f.Write(make([]byte, room))
	if err = errors.Join(err, f.Sync()); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("reserve space for the credential: %w", base.PathError(err)), discard())
	}
	return func(issued api.RotatedCredential) error {
		secret := issued.Token + issued.Secret + "\n"
		_, err := f.WriteAt([]byte(secret), 0)
		return errors.Join(err, f.Truncate(int64(len(secret))), f.Sync(), f.Close())
	}, discard, nil
}

// withdraw revokes a credential that could not be written. The error tells what is different afterwards.
func withdraw(ctx context.Context, admin *operator.Client, issued api.RotatedCredential, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // also when it was interrupted
	defer cancel()
	cr := issued.Credential
	cause = fmt.Errorf("the new credential could not be written: %w", cause)
	text := fmt.Sprintf("The new credential %s was revoked.", cr.ID)
	if _, err := admin.RevokeCredential(ctx, cr.ID); err != nil {
		cause = fmt.Errorf("%w; and it could not be revoked: %w", cause, err)
		text = fmt.Sprintf("The new credential %s is valid until %s. Revoke it with: %s",
			cr.ID, base.Moment(cr.ExpiresAt), shell.Command("watchword", "credential", "revoke", cr.ID))
	}
	if issued.Replaced.ID != "" {
		old := issued.Replaced
		if now, err := admin.Credential(ctx, old.ID); err == nil {
			old = now
		}
		text += fmt.Sprintf("\nCredential %s, which it should have replaced, is valid until %s as before. Replace it with: %s",
			old.ID, base.Moment(old.ExpiresAt), shell.Command("watchword", "credential", "rotate", old.ID))
	}
	return base.Next(cause, "%s", text)
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
	return c.Printf("wrote %s", base.Line(strings.Join(names, " and ")))
}

// issueKey makes a key pair, or reads a public key, and sends the public key. The private key is on the
// disk before the server knows of the pair.
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
	if err := base.WriteNewFile(n.out, 0o600, private); err != nil {
		return err
	}
	issued, err := issue(ctx)
	if err != nil {
		return errors.Join(err, os.Remove(n.out))
	}
	return sayWritten(c, issued, n.out)
}

// issueCertificate makes a self-signed certificate, or reads one, and sends it.
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
		if err := base.WriteNewFile(file.name, file.mode, file.content); err != nil {
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

// selfSigned makes a certificate for the service, for the lifetime of the credential.
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
		return "", fmt.Errorf("create a certificate: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

// privateFile is the content of the file of a private key: PEM if the name ends in .pem, else a JWK.
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

// publicJWK reads a public key, JWK or PEM. A private key is refused: it must not leave this machine.
func publicJWK(raw []byte) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	if bytes.HasPrefix(raw, []byte("{")) {
		_, canonical, err := jose.ParseClientJWK(raw)
		if err != nil {
			return nil, fmt.Errorf("not a public key that a service may use: %w", err)
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
		return nil, base.Next(errors.New("this is a private key, which must not be sent to the server"), "Write the public key with: openssl pkey -in FILE -pubout -out PUBLIC")
	case block.Type == "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%q in PEM is not a public key: the type must be PUBLIC KEY", block.Type)
	}
	if err != nil {
		return nil, errors.New("the public key cannot be parsed")
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
	return nil, errors.New("not a public key that a service may use: it must be P-256, RSA of 2048 to 4096 bits, or Ed25519")
}

// firstCertificate is the certificate of the service in a file that may also contain its chain.
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
