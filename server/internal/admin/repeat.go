package admin

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// Requests that create something can be repeated with the same Idempotency-Key
// (draft-ietf-httpapi-idempotency-key-header-07), and are carried out once. The transaction of the change also records
// the key (directory.Once). The answer, which may contain the secret of a credential, is stored after that, encrypted
// with a key of which the Idempotency-Key is a part: neither the database nor the server alone can read it.

const idempotencyHeader = "Idempotency-Key"

const (
	// answerDue is how long after its change the answer to a request is expected to be stored. After that it counts as
	// lost: the server was killed in between, or the store was away.
	answerDue = 30 * time.Second
	// maxKeptAnswer bounds what is stored. The answers of these operations are far shorter.
	maxKeptAnswer = 16 << 10
	// maxIdempotencyKey is the length of a key, in bytes.
	maxIdempotencyKey = 255
)

var (
	errIdempotencyKey = problem("malformed_idempotency_key")
	errReused         = problem("idempotency_key_reused")
	errInProgress     = problem("request_in_progress").With("Retry-After", "1")
	errAnswerLost     = problem("answer_lost")
	errManyRepeats    = problem("too_many_idempotency_keys").With("Retry-After", "3600")
)

// Repeats remembers requests that were carried out.
type Repeats interface {
	ReadRepeat(ctx context.Context, id string) (directory.Repeat, error)
	KeepAnswer(ctx context.Context, id string, answer []byte) error
	ForgetRepeat(ctx context.Context, id string, revision int64) error
}

// documentRepeats says that an operation takes an Idempotency-Key.
func documentRepeats(o *huma.Operation) {
	o.Parameters = append(o.Parameters, &huma.Param{
		Name: idempotencyHeader, In: "header", Example: `"8e03978e-40d5-43e8-bc93-6894a57f9324"`,
		Description: "A value that is new for each new request, such as a random UUID (draft-ietf-httpapi-idempotency-key-header). For 24 hours, the same request with the same key has no further effect and gets the same answer. With another request the key is refused (422), and so is the same one while the first is in progress (409).",
		Schema:      &huma.Schema{Type: huma.TypeString, MaxLength: new(maxIdempotencyKey + 2)},
	})
}

// idempotencyKey is the key of a request, or "". The draft has it as a string in quotes (RFC 9651, section 3.3.3); many
// clients send it without.
func idempotencyKey(h http.Header) (string, *web.Error) {
	values := h.Values(idempotencyHeader)
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	if inner, ok := strings.CutPrefix(key, `"`); ok {
		key, ok = strings.CutSuffix(inner, `"`)
		if !ok {
			return "", errIdempotencyKey
		}
	}
	odd := func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }
	if len(values) > 1 || key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, odd) {
		return "", errIdempotencyKey
	}
	return key, nil
}

// running are the requests with an Idempotency-Key that this process is working on.
type running struct {
	mu  sync.Mutex
	ids map[string]bool
}

// begin reports whether id was not there, and adds it.
func (r *running) begin(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids[id] {
		return false
	}
	r.ids[id] = true
	return true
}

func (r *running) end(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ids, id)
}

// once lets do answer a request, unless the same was carried out before.
func (a *handlers) once(ans *answer, r *http.Request, do func() error) error {
	key, p := idempotencyKey(r.Header)
	if p != nil {
		return p
	}
	if key == "" {
		return do()
	}
	ctx, req := r.Context(), requestOf(r.Context())
	id := a.mac("id", req.actor, key)
	request := a.mac("request", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(req.body))
	if !a.running.begin(id) {
		return errInProgress
	}
	defer a.running.end(id)
	switch before, err := a.Repeats.ReadRepeat(ctx, id); {
	case err == nil && a.Now().Sub(before.At) >= directory.RepeatsKept: // the next change deletes it
	case err == nil:
		if done, err := a.repeat(ctx, ans, before, id, request, key); done || err != nil {
			return err
		}
	case !errors.Is(err, directory.ErrNotFound):
		return errUnavailable.Because(err)
	}
	req.once = &directory.Once{ID: id, Request: request}
	if err := do(); err != nil {
		var refusal *web.Error
		if errors.As(err, &refusal) && refusal.Status < http.StatusInternalServerError {
			// Another replica may have carried it out meanwhile, so that what it asks for is there.
			if _, missing := a.Repeats.ReadRepeat(ctx, id); missing == nil {
				return errInProgress
			}
		}
		return err
	}
	sealed, err := a.seal(ans, id, key)
	if err == nil && len(sealed) <= maxKeptAnswer {
		// Without it, a repeated request is told that the answer is lost.
		_ = a.Repeats.KeepAnswer(context.WithoutCancel(ctx), id, sealed)
	}
	return err
}

// repeat answers a request that was carried out before, and reports whether it did. If the answer is lost, and with it
// the secret of a credential, that credential is revoked, and the request carried out again.
func (a *handlers) repeat(ctx context.Context, ans *answer, before directory.Repeat, id, request, key string) (done bool, err error) {
	note(ctx, "repeats", fmt.Sprint("revision ", before.Revision))
	switch {
	case !hmac.Equal([]byte(before.Request), []byte(request)):
		return false, errReused
	case len(before.Answer) > 0:
		return true, a.unseal(ans, before.Answer, id, key)
	case a.Now().Sub(before.At) < answerDue:
		return false, errInProgress
	}
	credential, ok := strings.CutPrefix(before.Subject, directory.SubjectCredential(""))
	if !ok {
		return false, errAnswerLost
	}
	if _, err := a.Directory.RevokeCredential(ctx, author(ctx), credential); err != nil && !errors.Is(err, directory.ErrNotFound) {
		return false, explain(err, nil)
	}
	if err := a.Repeats.ForgetRepeat(ctx, id, before.Revision); err != nil {
		return false, errUnavailable.Because(err)
	}
	return false, nil
}

// keptAnswer is an answer as it is stored.
type keptAnswer struct {
	Status int
	Header http.Header
	Body   []byte
}

func (a *handlers) seal(ans *answer, id, key string) ([]byte, error) {
	text, err := json.Marshal(keptAnswer{ans.status, ans.header, ans.body.Bytes()})
	if err != nil {
		return nil, err
	}
	return a.aead(key).Seal(nil, nil, text, []byte(id)), nil //nolint:gosec // the nonce is random: see aead
}

func (a *handlers) unseal(ans *answer, sealed []byte, id, key string) error {
	text, err := a.aead(key).Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return errInternal.Because(fmt.Errorf("decrypt a stored answer: %w", err))
	}
	var kept keptAnswer
	if err := json.Unmarshal(text, &kept); err != nil {
		return errInternal.Because(fmt.Errorf("read a stored answer: %w", err))
	}
	maps.Copy(ans.header, kept.Header)
	ans.WriteHeader(kept.Status)
	_, _ = ans.Write(kept.Body) // in memory
	return nil
}

// aead encrypts the answer to a request with that Idempotency-Key, under a random nonce that it puts in front.
func (a *handlers) aead(key string) cipher.AEAD {
	sum := a.sum("answer", key)
	block, err := aes.NewCipher(sum)
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCMWithRandomNonce(block); err == nil {
			return aead
		}
	}
	panic("admin: AES-256-GCM: " + err.Error()) // the key has the right length
}

func (a *handlers) mac(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(a.sum(parts...))
}

// sum is a keyed hash of parts.
func (a *handlers) sum(parts ...string) []byte {
	h := hmac.New(sha256.New, a.AnswerKey)
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return h.Sum(nil)
}

// randomKey is a key that ends with the process.
func randomKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}
