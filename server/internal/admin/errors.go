package admin

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// newProblem is an answer to a request that is not granted. Its code is the reason in the audit log; its
// detail ends with what to do.
func newProblem(status int, code, detail string) *web.Error {
	return &web.Error{Status: status, Code: code, Description: detail}
}

// WriteProblem answers with err as problem details (RFC 9457). The cause is for the log alone.
func WriteProblem(w http.ResponseWriter, err error) {
	p := errInternal
	if err == web.Overloaded {
		p = errOverloaded
	} else {
		errors.As(err, &p)
	}
	type detail struct {
		Message  string `json:"message,omitempty"`
		Location string `json:"location,omitempty"`
	}
	body := struct {
		Title  string   `json:"title"`
		Status int      `json:"status"`
		Detail string   `json:"detail"`
		Errors []detail `json:"errors,omitempty"`
	}{Title: http.StatusText(p.Status), Status: p.Status, Detail: p.Description}
	for _, d := range p.Details {
		body.Errors = append(body.Errors, detail{d.Message, d.Location})
	}
	maps.Copy(w.Header(), p.Header)
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // strings and numbers only; a client that went away needs none
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
	errManyKeys     = newProblem(http.StatusConflict, "too_many_keys", "As many keys as verifiers read are still published. Wait until some of them are retired, or revoke those that were stolen.")
	errConflict     = newProblem(http.StatusConflict, "conflict", "Others were changing the same thing all the while. Try again.")
	errManaged      = newProblem(http.StatusConflict, "managed", "A call map file owns it, and the next apply would undo a change by hand. Change the file and apply it; a service can be disabled in any case.")
	errPrecondition = newProblem(http.StatusPreconditionFailed, "stale_version", "It is not in the state that If-Match or If-None-Match names, so nothing was changed. Read it again, and repeat the change with the ETag of that answer if it is still wanted.")
	errIfMatch      = newProblem(http.StatusBadRequest, "invalid_request", `If-Match and If-None-Match are not understood. Send If-Match: "<version>" as the ETag of an answer gave it, If-Match: *, or, with PUT, If-None-Match: *.`)
	errPageToken    = newProblem(http.StatusBadRequest, "invalid_request", "The page token was not made by this server for this list and these filters. Start again without pageToken.")
	errUnavailable  = newProblem(http.StatusServiceUnavailable, "unavailable", "The server cannot do this now; it may have been done in part. Try again, and look first at what is there; GET /readyz says what is wrong.").With("Retry-After", "1")
	errAudit        = newProblem(http.StatusServiceUnavailable, "audit_unavailable", "The audit log cannot be written, so nothing was done. Look at the server's log and the disk, and try again; GET /readyz says when it is well.").With("Retry-After", "1")
	errUnrecorded   = newProblem(http.StatusServiceUnavailable, "audit_unavailable", "The audit log could not be written, so the outcome is withheld; the change may be in force. Look at what is there before you try again; a credential made by this request is lost: revoke it.").With("Retry-After", "1")
	errOverloaded   = newProblem(http.StatusServiceUnavailable, "overloaded", "Too many requests are being worked on, so this one was not looked at. Send it again.").With("Retry-After", "1")
	errInternal     = newProblem(http.StatusInternalServerError, "internal", "The server failed. Its log has the cause under the request id in the X-Request-Id header; please report it.")
)

func isNotFound(err error) bool {
	return errors.Is(err, directory.ErrNotFound) || errors.Is(err, keys.ErrNotFound)
}

// fields are the names this API has for what the directory names in an InvalidError.
var fields = map[string]string{"scope": "scopes", "ttl": "ttlSeconds", "overlap": "overlapSeconds"}

// explain turns the error of a handler into the answer. Not-found errors become missing,
// which knows what was looked for.
func explain(err error, missing *web.Error) *web.Error {
	var (
		p       *web.Error
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
		return newProblem(http.StatusUnprocessableEntity, "invalid_value", text+". Correct it and send the request again.").At("body."+field, invalid.Problem)
	case isNotFound(err) && missing != nil:
		return missing
	case errors.Is(err, directory.ErrExists):
		return errExists
	case errors.Is(err, directory.ErrManaged):
		return errManaged
	case errors.Is(err, keys.ErrTooMany):
		return errManyKeys.Because(err)
	case errors.Is(err, directory.ErrConflict), errors.Is(err, keys.ErrConflict):
		return errConflict
	case errors.Is(err, keys.ErrUnknownKEK), errors.Is(err, keys.ErrSealBroken):
		return errInternal.Because(err) // trying again does not help
	default:
		// What the directory, the key ring and the lists have no word for, the store answered them.
		return errUnavailable.Because(err)
	}
}

// invalid is a request in which huma found values that are not allowed: which and why, and what to do. The
// values themselves are not echoed.
func invalid[E error](status int, found ...E) *web.Error {
	p := newProblem(status, "invalid_request", "The request is not as GET /openapi.json describes it. Correct what errors names and send it again.")
	for _, err := range found {
		if d, ok := any(err).(*huma.ErrorDetail); ok {
			p = p.At(d.Location, d.Message)
		} else {
			p = p.At("", err.Error())
		}
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
