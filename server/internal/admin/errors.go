package admin

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/reason"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// problem is an answer to a request that is not granted, as package reason has it. Its name is the reason in the
// audit log; its detail ends with what to do.
func problem(name string) *web.Error {
	e := reason.Of(name)
	p := &web.Error{Status: e.Operator, Code: name, Description: e.Means + " " + e.Do}
	if p.Status == http.StatusServiceUnavailable {
		p = p.With("Retry-After", "1")
	}
	return p
}

// WriteProblem answers with err as problem details (RFC 9457). The cause is for the log alone.
func WriteProblem(w http.ResponseWriter, err error) {
	p := errInternal
	switch {
	case errors.Is(err, web.Overloaded):
		p = errOverloaded
	case errors.Is(err, web.LongURL):
		p = errURL
	default:
		errors.As(err, &p)
	}
	maps.Copy(w.Header(), p.Header)
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(inJSON(p)) // strings and numbers only; a client that went away needs none
}

func inJSON(p *web.Error) api.Problem {
	body := api.Problem{
		Title: http.StatusText(p.Status), Status: p.Status, Detail: p.Description, Code: p.Code, See: reason.See(p.Code),
	}
	for _, d := range p.Details {
		body.Errors = append(body.Errors, api.ProblemDetail{Message: d.Message, Location: d.Location})
	}
	return body
}

// The problems that say all in advance.
var (
	errNoService     = problem("service_not_found")
	errNoCredential  = problem("credential_not_found")
	errNoRule        = problem("rule_not_found")
	errNoRevocation  = problem("revocation_not_found")
	errNoKey         = problem("key_not_found")
	errNoRoute       = problem("path_not_found")
	errExists        = problem("exists")
	errManyKeys      = problem("too_many_keys")
	errConflict      = problem("conflict")
	errManaged       = problem("managed")
	errPrecondition  = problem("stale_version")
	errIfMatch       = problem("malformed_condition")
	errPageToken     = problem("unknown_page_token")
	errUnavailable   = problem("unavailable")
	errAudit         = problem("audit_unavailable")
	errUnrecorded    = problem("outcome_unrecorded")
	errOverloaded    = problem("overloaded")
	errManyQuestions = problem("too_many_questions").With("Retry-After", "10")
	errURL           = problem("url_too_long")
	errInternal      = problem("internal")
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
		p := problem("invalid_value").At("body."+field, invalid.Problem)
		p.Description = field + " " + invalid.Problem + ". " + reason.Of(p.Code).Do
		return p
	case isNotFound(err) && missing != nil:
		return missing
	case errors.Is(err, directory.ErrRepeated):
		return errInProgress
	case errors.Is(err, directory.ErrTooMany):
		return errManyRepeats
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

// plainMessages makes huma say what a value must be, as the directory does, in the place of "expected value to be one
// of". The messages are variables of huma, and the same for every server of a process.
var plainMessages = sync.OnceFunc(func() {
	validation.MsgExpectedOneOf = "must be one of %s"
	validation.MsgExpectedBePattern = "must be %s"
	validation.MsgExpectedMatchPattern = "must match the pattern %s"
	validation.MsgExpectedMinLength = "must be at least %d characters long"
	validation.MsgExpectedMaxLength = "must be at most %d characters long"
	validation.MsgExpectedMinItems = "must have at least %d entries"
	validation.MsgExpectedMaxItems = "must have at most %d entries"
	validation.MsgExpectedMinimumNumber = "must be %v or more"
	validation.MsgExpectedMaximumNumber = "must be %v or less"
	validation.MsgExpectedRequiredProperty = "must have the member %s"
	validation.MsgExpectedString = "must be a string"
	validation.MsgExpectedBoolean = "must be true or false"
	validation.MsgExpectedInteger = "must be an integer"
	validation.MsgExpectedNumber = "must be a number"
	validation.MsgExpectedArray = "must be an array"
	validation.MsgExpectedObject = "must be an object"
	validation.MsgExpectedRFC3339DateTime = "must be a time such as 2027-01-01T12:00:00Z (RFC 3339)"
})

// invalid is a request in which huma found values that are not allowed: which and why, and what to do. The
// values themselves are not echoed.
func invalid[E error](status int, found ...E) *web.Error {
	p := problem("invalid_request")
	p.Status, p.Description = status, "The request is not as described by GET /openapi.json. Correct the values that the member errors names, and send the request again."
	for _, err := range found {
		if d, ok := any(err).(*huma.ErrorDetail); ok {
			// Huma lists the empty value, where it is allowed, as a name without characters.
			p = p.At(d.Location, strings.Replace(d.Message, "must be one of , ", "must be empty or one of ", 1))
		} else {
			p = p.At("", err.Error())
		}
	}
	return p
}

// safeText is what is wrong with a body, short.
func safeText(text string) string {
	const limit = 256
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}
