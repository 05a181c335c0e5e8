package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

// apiVersion is that of the API, not of the program: it changes when the API does.
const apiVersion = "1.1.0"

const apiDescription = `Services, their credentials, the call map, revocations, signing keys and the history of changes.

Every request carries the operator token as a bearer token. Bodies are strict JSON: members this document does not name,
repeated members and bytes after the value are refused. A single resource has its version as ETag; If-Match makes a change
only from that version. A change is in force on the answering server when its 2xx leaves, and has been recorded in the audit log.
Errors are problem details (RFC 9457) whose detail ends with what to do next. Times are RFC 3339 in UTC.`

const securityScheme = "operatorToken"

// newHuma makes the API on mux, without documentation pages: they would load scripts of others.
func newHuma(mux *http.ServeMux) huma.API {
	const schemas = "#/components/schemas/"
	return humago.New(mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Watchword operator API", Version: apiVersion, Description: apiDescription,
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Servers: []*huma.Server{{URL: "http://127.0.0.1:8010", Description: "The operator listener, where it is by default."}},
			Tags: []*huma.Tag{
				{Name: "services", Description: "Who there is."},
				{Name: "credentials", Description: "How services prove themselves to the server."},
				{Name: "rules", Description: "Who may call whom. What no rule allows is refused."},
				{Name: "callmap", Description: "The call map as files: plan, apply, go back."},
				{Name: "decisions", Description: "What was decided, or would be, and why."},
				{Name: "revocations", Description: "Which tokens are good no longer, before they expire."},
				{Name: "keys", Description: "What the server signs with."},
				{Name: "history", Description: "What was changed, and what this server is."},
			},
			Components: &huma.Components{
				Responses: map[string]*huma.Response{},
				Schemas:   huma.NewMapRegistry(schemas, huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{securityScheme: {
					Type: "http", Scheme: "bearer", Description: "The operator token, from the server's operator token file.",
				}},
			},
			Security: []map[string][]string{{securityScheme: {}}},
		},
		Formats: map[string]huma.Format{
			"application/json": {Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: strictjson.UnmarshalKnown},
			// What huma cuts application/problem+json down to.
			"json": huma.DefaultJSONFormat,
		},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{keepProblem},
	})
}

// keepProblem hands problems, which huma would write as they are, to the one who writes them.
func keepProblem(ctx huma.Context, _ string, v any) (any, error) {
	switch v := v.(type) {
	case *problem:
		requestOf(ctx.Context()).problem = v
	case *huma.ErrorModel:
		requestOf(ctx.Context()).problem = tidy(v)
	}
	return v, nil
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
	missing *problem
	// errors besides those any operation may answer with.
	errors []int
	// example of the request's body and of the answer's.
	request, answer any
}

// common are the errors of every operation.
var common = []int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnsupportedMediaType,
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
		MaxBodyBytes: -1, BodyReadTimeout: -1,
	}
	if op.missing != nil {
		o.Errors = append(o.Errors, http.StatusNotFound)
	}
	if body, ok := reflect.TypeFor[I]().FieldByName("Body"); ok {
		o.Errors = append(o.Errors, http.StatusRequestEntityTooLarge)
		o.Middlewares = huma.Middlewares{strict(body.Type)}
	}
	a.actions[op.method+" "+o.Path] = op.action
	huma.Register(a.huma, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, explain(err, op.missing)
		}
		return out, nil
	})
	document(a.huma.OpenAPI(), o, op)
}

// strict refuses a body that is not the JSON this operation takes before huma looks at it,
// which answers 422 where the members are wrong and shows the body in the error.
func strict(body reflect.Type) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		req := requestOf(ctx.Context())
		if len(req.body) > 0 {
			if err := strictjson.UnmarshalKnown(req.body, reflect.New(body).Interface()); err != nil {
				req.problem = errJSON.at("body", safeText(err))
				return
			}
		}
		next(ctx)
	}
}

var errJSON = newProblem(http.StatusBadRequest, "invalid_request", "The body is not the JSON object this operation takes. Members must be those GET /openapi.json names, each once and in that spelling; correct what errors names and send it again.")

// document adds what huma does not: examples, and one shared description of each error.
func document(doc *huma.OpenAPI, registered huma.Operation, op operation) {
	item := doc.Paths[registered.Path]
	for _, o := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
		if o == nil || o.OperationID != op.id {
			continue
		}
		if o.RequestBody != nil && op.request != nil {
			o.RequestBody.Content["application/json"].Example = op.request
		}
		for code, response := range o.Responses {
			if media := response.Content["application/json"]; media != nil {
				media.Example = op.answer
			}
			if status, _ := strconv.Atoi(code); meanings[status] != "" {
				o.Responses[code] = share(doc.Components, status, response)
			}
		}
	}
}

var (
	meanings = map[int]string{
		http.StatusBadRequest:            "The request is malformed: its JSON, a header, the query or a page token.",
		http.StatusUnauthorized:          "The operator token is missing or wrong.",
		http.StatusForbidden:             "A browser sent the request for a page of another site.",
		http.StatusNotFound:              "What the path or a filter names is not there.",
		http.StatusConflict:              "The name or an audience is taken, or others kept changing the same thing.",
		http.StatusPreconditionFailed:    "The version is not the one that If-Match or If-None-Match names.",
		http.StatusRequestEntityTooLarge: "The body is longer than 64 KiB.",
		http.StatusUnsupportedMediaType:  "The body is not application/json.",
		http.StatusMisdirectedRequest:    "The listener does not go by the Host name of the request.",
		http.StatusUnprocessableEntity:   "A value is not allowed; errors names it.",
		http.StatusTooManyRequests:       "Too many requests without the operator token came from this address.",
		http.StatusInternalServerError:   "The server failed; its log has the cause.",
		http.StatusServiceUnavailable:    "The store or the audit log cannot do its part now.",
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
	response.Description = meanings[status]
	if header, ok := errorHeaders[status]; ok {
		response.Headers = map[string]*huma.Param{header: {Description: "As RFC 9110 has it.", Schema: &huma.Schema{Type: huma.TypeString}}}
	}
	response.Content["application/problem+json"].Example = map[string]any{"title": http.StatusText(status), "status": status, "detail": meanings[status]}
	c.Responses[name] = response
	return &huma.Response{Ref: "#/components/responses/" + name}
}

// describe renders the document, which is the same at every start.
func describe(doc *huma.OpenAPI) []byte {
	raw, err := json.Marshal(doc)
	if err != nil {
		panic("admin: render OpenAPI document: " + err.Error()) // it is made of this package's own types
	}
	var out bytes.Buffer
	_ = json.Indent(&out, raw, "", "  ") // Marshal wrote it
	out.WriteByte('\n')
	return out.Bytes()
}

// documentCreated says that an operation answers 201, too, where it makes what it is about.
func documentCreated(o *huma.Operation) {
	made := *o.Responses["200"]
	made.Description = http.StatusText(http.StatusCreated)
	o.Responses["201"] = &made
}
