package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/strictjson"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// apiVersion is that of the API, not of the program: it changes when the API does.
const apiVersion = "1.4.0"

const apiDescription = `Services, credentials, the call map, revocations, signing keys, and the history of changes.

Every request has the operator token as a bearer token, or that of the trust operator, who reads everything and changes only
trusts and the credentials that name them. Bodies are strict JSON: members that this document does not name,
repeated members, and bytes after the value are refused. The answer with a single resource has its version as ETag. With
If-Match, a change is made only to that version. When the server answers with 2xx, the change is in force on this server and
recorded in the audit log. Operations that create something take an Idempotency-Key, with which a request can be repeated
until its answer arrives. Errors are problem details (RFC 9457), whose detail ends with what to do. Times are RFC 3339 in UTC.`

const securityScheme = "operatorToken"

// newHuma makes the API, without documentation pages: they would load scripts of others.
func newHuma(on huma.Adapter) huma.API {
	plainMessages()
	const schemas = "#/components/schemas/"
	return huma.NewAPI(huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Watchword operator API", Version: apiVersion, Description: apiDescription,
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Servers: []*huma.Server{{URL: "http://127.0.0.1:8010", Description: "The default address of the operator's listener."}},
			Tags: []*huma.Tag{
				{Name: "services", Description: "The services."},
				{Name: "credentials", Description: "The credentials with which services authenticate to the server."},
				{Name: "trusts", Description: "Outside issuers, whose tokens prove services in place of a secret."},
				{Name: "rules", Description: "The rules, which allow calls. A call that no rule allows is refused."},
				{Name: "callmap", Description: "The call map as files."},
				{Name: "decisions", Description: "Decisions, and their reasons."},
				{Name: "revocations", Description: "Tokens that were revoked before they expired."},
				{Name: "keys", Description: "The keys of the server's signatures."},
				{Name: "history", Description: "The changes, and the server itself."},
			},
			Components: &huma.Components{
				Responses: map[string]*huma.Response{},
				Schemas:   huma.NewMapRegistry(schemas, huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{securityScheme: {
					Type: "http", Scheme: "bearer", Description: "The operator token, which the server writes to a file.",
				}},
			},
			Security: []map[string][]string{{securityScheme: {}}},
		},
		Formats: map[string]huma.Format{
			// register decodes bodies.
			"application/json": {Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: func([]byte, any) error { return nil }},
			// What huma cuts application/problem+json down to.
			"json": huma.DefaultJSONFormat,
		},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{keepError},
	}, on)
}

// keepError hands what huma found wrong, which it would write as it is, to the one who answers.
func keepError(ctx huma.Context, _ string, v any) (any, error) {
	if m, ok := v.(*huma.ErrorModel); ok {
		req := requestOf(ctx.Context())
		switch {
		case req.err != nil: // register's errAnswered
		case m.Status >= http.StatusInternalServerError:
			req.err = errInternal.Because(m)
		case len(m.Errors) == 0:
			req.err = invalid(m.Status, errors.New(m.Detail))
		default:
			req.err = invalid(m.Status, m.Errors...)
		}
	}
	return v, nil //nolint:nilerr // the error is kept in the request
}

// Handle puts an operation of huma on the mux.
func (a *handlers) Handle(o *huma.Operation, h func(huma.Context)) {
	act, pattern := o.Metadata[actionKey].(action), o.Method+" "+o.Path
	a.mux.Handle(pattern, a.handler(pattern, a.recorded(act, a.operated(func(w http.ResponseWriter, r *http.Request) {
		h(humago.NewContext(o, r, w))
	}))))
	a.known.Handle(pattern, http.NotFoundHandler())
}

// operation is one route.
type operation struct {
	method, path         string
	id                   string // operationId
	action               action
	tag                  string
	summary, description string
	status               int // of success; zero: 200
	// missing is the answer when the directory or the key ring finds nothing.
	missing *web.Error
	// errors besides those any operation may answer with.
	errors []int
	// example of the request's body and of the answer's.
	request, answer any
}

// actionKey is where huma keeps the action of an operation.
const actionKey = "action"

// common are the errors of every operation.
var common = []int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestURITooLong, http.StatusUnsupportedMediaType,
	http.StatusMisdirectedRequest, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
	http.StatusInternalServerError, http.StatusServiceUnavailable,
}

// register adds a route: decoding, validation, errors, audit and documentation are the
// same for all and come with it.
func register[I, O any](a *handlers, op operation, handler func(context.Context, *I) (*O, error)) {
	o := huma.Operation{
		OperationID: op.id, Method: op.method, Path: prefix + op.path, Tags: []string{op.tag},
		Summary: op.summary, Description: op.description, DefaultStatus: op.status,
		Errors:   append(op.errors, common...),
		Security: []map[string][]string{{securityScheme: {}}},
		// The body was read already, within its limit.
		MaxBodyBytes: -1, BodyReadTimeout: -1, SkipValidateBody: true,
		Metadata: map[string]any{actionKey: op.action},
	}
	if op.action.creates {
		o.Errors = append(o.Errors, http.StatusConflict)
		documentRepeats(&o)
	}
	if op.missing != nil {
		o.Errors = append(o.Errors, http.StatusNotFound)
	}
	body, hasBody := reflect.TypeFor[I]().FieldByName("Body")
	if hasBody {
		o.Errors = append(o.Errors, http.StatusRequestEntityTooLarge)
	}
	var schema *huma.Schema
	huma.Register(a.huma, o, func(ctx context.Context, in *I) (out *O, err error) {
		req := requestOf(ctx)
		if !hasBody && len(req.body) > 0 {
			err = errUnexpectedBody
		}
		if hasBody && len(req.body) > 0 {
			err = decode(req.body, reflect.ValueOf(in).Elem().FieldByIndex(body.Index), a.huma.OpenAPI().Components.Schemas, schema)
			req.body = nil
		}
		if err == nil {
			out, err = handler(ctx, in)
		}
		if err != nil {
			req.err = explain(err, op.missing)
			return nil, errAnswered
		}
		return out, nil
	})
	if hasBody {
		schema = a.huma.OpenAPI().Components.Schemas.Schema(body.Type, true, "")
	}
	document(a.huma.OpenAPI(), o, op)
}

// errAnswered has huma end a request of which the answer is known.
var errAnswered = huma.Error400BadRequest("answered already")

// decode reads the body of a request: one JSON value, strictly, and then what of it its schema forbids.
func decode(text []byte, body reflect.Value, schemas huma.Registry, schema *huma.Schema) error {
	read, err := strictjson.UnmarshalKnown(text, body.Addr().Interface())
	if err != nil {
		pointer, what := strictjson.Fault(err)
		return errJSON.At("body"+strings.ReplaceAll(pointer, "/", "."), safeText(what))
	}
	var found huma.ValidateResult
	at := huma.NewPathBuffer([]byte{}, 0)
	at.Push("body")
	huma.Validate(schemas, schema, at, huma.ModeWriteToServer, plain(body, "", read), &found)
	if len(found.Errors) > 0 {
		return invalid(http.StatusUnprocessableEntity, found.Errors...)
	}
	return nil
}

// plain is v, which is at the JSON pointer at of what was read, in the types that huma validates.
func plain(v reflect.Value, at string, read map[string]bool) any {
	switch v.Kind() {
	case reflect.Pointer:
		return plain(v.Elem(), at, read)
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return t.Format(time.RFC3339Nano)
		}
		members := map[string]any{}
		for _, f := range reflect.VisibleFields(v.Type()) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if pointer := at + "/" + name; read[pointer] {
				members[name] = plain(v.FieldByIndex(f.Index), pointer, read)
			}
		}
		return members
	case reflect.Map:
		members := map[string]any{}
		for _, name := range v.MapKeys() {
			members[name.String()] = plain(v.MapIndex(name), at+"/"+name.String(), read)
		}
		return members
	case reflect.Interface:
		return v.Interface()
	case reflect.Slice:
		all := make([]any, v.Len())
		for i := range all {
			all[i] = plain(v.Index(i), at+"/"+strconv.Itoa(i), read)
		}
		return all
	case reflect.String:
		return v.String()
	}
	return v.Interface()
}

var (
	errJSON           = problem("malformed_body")
	errUnexpectedBody = problem("unexpected_body")
)

// document adds what huma does not: examples, and one shared description of each error.
func document(doc *huma.OpenAPI, registered huma.Operation, op operation) {
	item := doc.Paths[registered.Path]
	for _, o := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
		if o == nil || o.OperationID != op.id {
			continue
		}
		for _, p := range o.Parameters {
			if p.In == "query" && p.Schema.Type == huma.TypeString && p.Name != pageToken {
				p.Schema.MinLength = new(1)
			}
		}
		if o.RequestBody != nil && op.request != nil {
			o.RequestBody.Content["application/json"].Example = op.request
		}
		for code, response := range o.Responses {
			if media := response.Content["application/json"]; media != nil {
				media.Example = op.answer
			}
			if status, _ := strconv.Atoi(code); meanings[status].text != "" {
				o.Responses[code] = share(doc.Components, status, response)
			}
		}
	}
}

var (
	// meanings are what each status means, with the example of an answer.
	meanings = map[int]struct {
		text    string
		example *web.Error
	}{
		http.StatusBadRequest:            {"The request is malformed: its JSON, a header, the query, or a page token.", errJSON},
		http.StatusUnauthorized:          {"The operator token is missing or wrong.", errNoToken},
		http.StatusForbidden:             {"A web page of another site sent the request, or the token is not that of the operator who may make this change.", errOrigin},
		http.StatusNotFound:              {"Something that the path or a filter names does not exist.", errNoService},
		http.StatusConflict:              {"The name or an audience is already in use, or the request conflicts with another change, or a request with the same Idempotency-Key is in progress.", errExists},
		http.StatusPreconditionFailed:    {"The version is not the one that If-Match or If-None-Match names.", errPrecondition},
		http.StatusRequestEntityTooLarge: {"The body is longer than 64 KiB, or with the keys of a trust longer than 256 KiB.", errTooLarge},
		http.StatusRequestURITooLong:     {"The URL is longer than 8 KiB.", errURL},
		http.StatusUnsupportedMediaType:  {"The body is not application/json.", errMedia},
		http.StatusMisdirectedRequest:    {"The Host header is not a name of the operator's listener.", errHost},
		http.StatusUnprocessableEntity:   {"A value is not allowed. The member errors names it.", problem("invalid_value")},
		http.StatusTooManyRequests:       {"Too many requests without the operator token came from this address.", errGuessing},
		http.StatusInternalServerError:   {"The server failed. Its log has the cause.", errInternal},
		http.StatusServiceUnavailable:    {"The database or the audit log does not work at the moment.", errUnavailable},
	}
	errorHeaders = map[int]string{
		http.StatusUnauthorized:       "WWW-Authenticate",
		http.StatusTooManyRequests:    "Retry-After",
		http.StatusServiceUnavailable: "Retry-After",
	}
)

// share puts the answer to an error among the components and returns the reference to it.
func share(c *huma.Components, status int, response *huma.Response) *huma.Response {
	name := strings.ReplaceAll(http.StatusText(status), " ", "")
	response.Description = meanings[status].text
	if header, ok := errorHeaders[status]; ok {
		response.Headers = map[string]*huma.Param{header: {Description: "As in RFC 9110.", Schema: &huma.Schema{Type: huma.TypeString}}}
	}
	media := response.Content["application/problem+json"]
	media.Schema = c.Schemas.Schema(reflect.TypeFor[api.Problem](), true, "")
	media.Example = inJSON(meanings[status].example)
	c.Responses[name] = response
	return &huma.Response{Ref: "#/components/responses/" + name}
}

// describe renders the document, which is the same at every start.
func describe(doc *huma.OpenAPI) []byte {
	// What huma would answer errors with.
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	for _, s := range doc.Components.Schemas.Map() {
		for _, p := range s.Properties {
			// The first is huma's alone, and is in messages already. The second is in the description, and generators
			// of clients take a member that has it for one that is always there.
			p.PatternDescription, p.Default = "", nil
		}
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		panic("admin: render OpenAPI document: " + err.Error()) // it is made of this package's own types
	}
	var out bytes.Buffer
	_ = json.Indent(&out, raw, "", "  ") // Marshal wrote it
	out.WriteByte('\n')
	return out.Bytes()
}

// serveOpenAPI answers with the document. It is not secret, so no token is required.
func (a *handlers) serveOpenAPI(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return notAllowed("GET, HEAD")
	}
	w.Header().Set("Cache-Control", "no-cache") // it is asked for again, since another version of the server may be there
	web.WriteCached(w, r, "application/json", a.openAPITag, a.openAPI)
	return nil
}

// documentCreated says that an operation answers 201, too, where it makes what it is about.
func documentCreated(o *huma.Operation) {
	made := *o.Responses["200"]
	made.Description = http.StatusText(http.StatusCreated)
	o.Responses["201"] = &made
}
