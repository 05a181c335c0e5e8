package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Error is an answer to a request that is not granted. Code and Description are for the
// caller (RFC 6749, section 5.2); Cause is for the log.
type Error struct {
	Status      int
	Code        string
	Description string
	// Details say what is wrong where. Only the operator API answers with them.
	Details []Detail
	// Header is added to the answer: a challenge, Allow, Retry-After.
	Header http.Header
	Cause  error
}

// Detail is one thing that is wrong with a request: where, such as body.name, and what.
type Detail struct{ Location, Message string }

// With returns a copy with one more header of the answer.
func (e Error) With(name, value string) *Error {
	if e.Header = e.Header.Clone(); e.Header == nil {
		e.Header = http.Header{}
	}
	e.Header.Set(name, value)
	return &e
}

// Because returns a copy with the cause, which only the log sees.
func (e Error) Because(cause error) *Error {
	e.Cause = cause
	return &e
}

// At returns a copy that says in addition what is wrong where.
func (e Error) At(location, message string) *Error {
	e.Details = append(slices.Clip(e.Details), Detail{location, message})
	return &e
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s (%s): %v", e.Code, e.Description, e.Cause)
	}
	return fmt.Sprintf("%s (%s)", e.Code, e.Description)
}

func (e *Error) Unwrap() error { return e.Cause }

// Overloaded turns a request away while too many are being worked on.
var Overloaded = Unavailable("the server is overloaded", nil)

// LongURL is the answer to a URL that is longer than any client needs (RFC 9110, section 15.5.15).
var LongURL = &Error{Status: http.StatusRequestURITooLong, Code: "invalid_request", Description: "the URL is longer than 8 KiB"}

// Unavailable is the answer when the server cannot do its part now.
func Unavailable(description string, cause error) *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable",
		Description: description + "; try again later", Cause: cause,
		Header: http.Header{"Retry-After": {"1"}},
	}
}

// Method is the answer to a method that a path does not have (RFC 9110, section 15.5.6).
func Method(allow string) *Error {
	return &Error{
		Status: http.StatusMethodNotAllowed, Code: "invalid_request",
		Description: "use " + allow, Header: http.Header{"Allow": {allow}},
	}
}

// writeError answers with err. The details of an error that is not an *Error are not sent.
func writeError(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Status: http.StatusInternalServerError, Code: "server_error", Description: "the server failed; its log has the cause under this request id"}
	}
	header := w.Header()
	for k, v := range e.Header {
		header[k] = v
	}
	body, _ := json.Marshal(struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, e.Description})
	WriteJSON(w, e.Status, append(body, '\n'))
}

var (
	contentJSON = []string{"application/json"}
	noStore     = []string{"no-store"}
)

// WriteJSON writes an answer nobody may store (RFC 6749, section 5.1).
func WriteJSON(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	header["Content-Type"] = contentJSON
	header["Cache-Control"] = noStore
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away needs no answer
}
