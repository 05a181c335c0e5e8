package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// problem is an answer to a request that is not granted: problem details (RFC 9457) with
// a reason for the audit log, and a cause for the server's. The detail ends with what to do.
type problem struct {
	huma.ErrorModel
	reason string
	header http.Header
	cause  error
}

func newProblem(status int, reason, detail string) *problem {
	return &problem{ErrorModel: huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail}, reason: reason}
}

// with returns a copy with a header of the answer.
func (p problem) with(name, value string) *problem {
	p.header = p.header.Clone()
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return &p
}

// because returns a copy with the cause, which only the log sees.
func (p problem) because(cause error) *problem {
	p.cause = cause
	return &p
}

// at returns a copy that names what is wrong where.
func (p problem) at(location, message string) *problem {
	p.Errors = []*huma.ErrorDetail{{Location: location, Message: message}}
	return &p
}

// and returns a copy that names one more thing that is wrong.
func (p problem) and(location, message string) *problem {
	p.Errors = append(p.Errors[:len(p.Errors):len(p.Errors)], &huma.ErrorDetail{Location: location, Message: message})
	return &p
}

func (p *problem) Error() string {
	if p.cause != nil {
		return fmt.Sprintf("%s: %v", p.Detail, p.cause)
	}
	return p.Detail
}

func (p *problem) Unwrap() error { return p.cause }

// write puts the whole answer into w.
func (p *problem) write(w *answer) {
	w.reset()
	for k, v := range p.header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	enc := json.NewEncoder(&w.body)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(p.ErrorModel) // strings and numbers only: it cannot fail
	w.problem = p
}

// The problems that say all in advance.
var (
	errNoService    = newProblem(http.StatusNotFound, "not_found", "There is no service of that name. List the services with GET /admin/v1/services, or create it first.")
	errNoCredential = newProblem(http.StatusNotFound, "not_found", "There is no credential of that id. List them with GET /admin/v1/credentials.")
	errNoRule       = newProblem(http.StatusNotFound, "not_found", "There is no rule from that caller to that target. List the rules with GET /admin/v1/rules.")
	errNoRevocation = newProblem(http.StatusNotFound, "not_found", "Nothing of that id is revoked by itself, or what was has long expired. List what is with GET /admin/v1/revocations.")
	errNoKey        = newProblem(http.StatusNotFound, "not_found", "There is no such key. List the keys with GET /admin/v1/keys.")
	errNoRoute      = newProblem(http.StatusNotFound, "not_found", "There is nothing at this path. GET /openapi.json lists all there is.")
	errExists       = newProblem(http.StatusConflict, "exists", "The name, or one of the audiences, is another service's. Choose another one, or change what is there with PATCH.")
	errConflict     = newProblem(http.StatusConflict, "conflict", "Others were changing the same thing all the while. Try again.")
	errManaged      = newProblem(http.StatusConflict, "managed", "A call map file owns it, and the next apply would undo a change by hand. Change the file and apply it; a service can be disabled in any case.")
	errPrecondition = newProblem(http.StatusPreconditionFailed, "stale_version", "It is not in the state that If-Match or If-None-Match names, so nothing was changed. Read it again, and repeat the change with the ETag of that answer if it is still wanted.")
	errIfMatch      = newProblem(http.StatusBadRequest, "invalid_request", `If-Match and If-None-Match are not understood. Send If-Match: "<version>" as the ETag of an answer gave it, If-Match: *, or, with PUT, If-None-Match: *.`)
	errPageToken    = newProblem(http.StatusBadRequest, "invalid_request", "The page token was not made by this server for this list and these filters. Start again without pageToken.")
	errUnavailable  = newProblem(http.StatusServiceUnavailable, "unavailable", "The server cannot do this now; it may have been done in part. Try again, and look first at what is there; GET /readyz says what is wrong.").with("Retry-After", "1")
	errAudit        = newProblem(http.StatusServiceUnavailable, "audit_unavailable", "The audit log cannot be written, so nothing was done. Look at the server's log and the disk, and try again; GET /readyz says when it is well.").with("Retry-After", "1")
	errUnrecorded   = newProblem(http.StatusServiceUnavailable, "audit_unavailable", "The audit log could not be written, so the outcome is withheld; the change may be in force. Look at what is there before you try again; a credential made by this request is lost: revoke it.").with("Retry-After", "1")
	errInternal     = newProblem(http.StatusInternalServerError, "internal", "The server failed. Its log has the cause under the request id in the X-Request-Id header; please report it.")
)

func isNotFound(err error) bool {
	return errors.Is(err, directory.ErrNotFound) || errors.Is(err, keys.ErrNotFound)
}

// fields are the names this API has for what the directory names in an InvalidError.
var fields = map[string]string{"scope": "scopes", "ttl": "ttlSeconds", "overlap": "overlapSeconds"}

// explain turns the error of a handler into the answer. Not-found errors become missing,
// which knows what was looked for.
func explain(err error, missing *problem) *problem {
	var (
		p       *problem
		invalid *directory.InvalidError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &invalid):
		field := invalid.Field
		if name, ok := fields[field]; ok {
			field = name
		}
		text := field + " " + invalid.Problem
		return newProblem(http.StatusUnprocessableEntity, "invalid_value", text+". Correct it and send the request again.").at("body."+field, invalid.Problem)
	case isNotFound(err) && missing != nil:
		return missing
	case errors.Is(err, directory.ErrExists):
		return errExists
	case errors.Is(err, directory.ErrManaged):
		return errManaged
	case errors.Is(err, directory.ErrConflict), errors.Is(err, keys.ErrConflict):
		return errConflict
	case errors.Is(err, keys.ErrUnknownKEK), errors.Is(err, keys.ErrSealBroken):
		return errInternal.because(err) // trying again does not help
	default:
		// What the directory, the key ring and the lists have no word for, the store answered them.
		return errUnavailable.because(err)
	}
}

// tidy is what is left of a problem that huma found: which value is wrong and why, and what
// to do. The value itself is not echoed.
func tidy(m *huma.ErrorModel) *problem {
	if m.Status >= http.StatusInternalServerError {
		return errInternal.because(m)
	}
	p := newProblem(m.Status, "invalid_request", "The request is not as GET /openapi.json describes it. Correct what errors names and send it again.")
	for _, e := range m.Errors {
		p.Errors = append(p.Errors, &huma.ErrorDetail{Location: e.Location, Message: e.Message})
	}
	if len(p.Errors) == 0 {
		p.Errors = []*huma.ErrorDetail{{Message: m.Detail}}
	}
	return p
}

// safeText is what is wrong with a body, short.
func safeText(err error) string {
	const limit = 256
	text := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}
