package supertokens

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// endpoint is one path of the core.
type endpoint struct {
	path    string
	methods []string
	// key reports whether an API key is needed.
	key bool
	// anyVersion endpoints take a cdi-version that is not known.
	anyVersion bool
	serve      func(*Interface, *call) *reply
}

var (
	get       = []string{http.MethodGet}
	endpoints = []endpoint{
		{path: "/", methods: helloMethods, serve: inApp((*Interface).hello)},
		{path: "/hello", methods: helloMethods, anyVersion: true, serve: inApp((*Interface).hello)},
		{path: "/apiversion", methods: get, key: true, anyVersion: true, serve: inApp((*Interface).apiVersion)},
		{path: "/telemetry", methods: get, key: true, serve: inApp((*Interface).telemetry)},
		{path: "/recipe/jwt", methods: []string{http.MethodPost}, key: true, serve: (*Interface).createJWT},
		{path: "/recipe/jwt/jwks", methods: get, key: true, serve: inApp((*Interface).recipeJWKS)},
		{path: "/.well-known/jwks.json", methods: get, anyVersion: true, serve: inApp((*Interface).publicJWKS)},
	}
	unknown      = endpoint{}
	helloMethods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}
)

// call is one request on its way.
type call struct {
	target
	w       http.ResponseWriter
	r       *http.Request
	version version
	// recorded says that the audit log has this call.
	recorded bool
	// keyed says that the API key was right, which for an app that does not exist no key is.
	keyed bool
}

// reply is an answer; it is written last.
type reply struct {
	status int
	json   bool
	body   string // without the line end
	header http.Header
}

func text(status int, message string) *reply { return &reply{status: status, body: message} }
func jsonText(body string) *reply            { return &reply{status: http.StatusOK, json: true, body: body} }

// unavailable is the answer when the server cannot do its part. The cause is for the log; a
// client that hung up is not the server's fault.
func (d *Interface) unavailable(c *call, attempt string, err error) *reply {
	level := slog.LevelError
	if c.r.Context().Err() != nil {
		level = slog.LevelDebug
	}
	d.logger.Log(c.r.Context(), level, "the SuperTokens interface cannot answer", "attempt", attempt, "app", c.app, "error", err)
	return &reply{
		status: http.StatusServiceUnavailable, body: "Service unavailable, try again later",
		header: http.Header{"Retry-After": {"1"}},
	}
}

func (d *Interface) serve(w http.ResponseWriter, r *http.Request) {
	a := d.answer(&call{target: d.parsePath(r.URL), w: w, r: r})
	header := w.Header()
	for k, v := range a.header {
		header[k] = v
	}
	// The spelling is Tomcat's. A client reads what begins with "text" as text.
	contentType := "text/html;charset=UTF-8"
	if a.json {
		contentType = "application/json;charset=UTF-8"
	}
	header.Set("Content-Type", contentType)
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body+"\n") // a client that went away needs no answer
}

// answer makes the checks common to all endpoints, in the core's order.
func (d *Interface) answer(c *call) *reply {
	e := c.endpoint
	// As in the core, an app that does not exist has no API keys to ask for. It has nothing else
	// either: every endpoint refuses it below.
	if _, exists := d.rings[c.app]; exists && e.key {
		if c.keyed = d.keys.allow(c.r.Header); !c.keyed {
			return d.refuseKey(c)
		}
	}
	var refusal *reply
	if c.version, refusal = requestedVersion(c.r.Header); refusal != nil {
		return refusal
	}
	switch {
	case c.tenant != "" && !c.version.atLeast("3.0"):
		return text(http.StatusNotFound, "Not found")
	case !e.anyVersion && !c.version.known():
		return c.version.unsupported()
	case e == &unknown:
		return text(http.StatusNotFound, "Not found")
	case !slices.Contains(e.methods, c.r.Method):
		return text(http.StatusMethodNotAllowed, "Method not supported")
	default:
		return e.serve(d, c)
	}
}

// inApp is serve for an app that exists.
func inApp(serve func(*Interface, *call) *reply) func(*Interface, *call) *reply {
	return func(d *Interface, c *call) *reply {
		if refusal := d.checkApp(c); refusal != nil {
			return refusal
		}
		return serve(d, c)
	}
}

// checkApp refuses apps and tenants that do not exist. All endpoints here belong to an app, and
// no app has tenants.
func (d *Interface) checkApp(c *call) *reply {
	if c.tenant != "" && c.version.atLeast("5.0") {
		return text(http.StatusForbidden, "Only public tenantId can call this app specific API")
	}
	if _, exists := d.rings[c.app]; !exists {
		return text(http.StatusBadRequest, "AppId or tenantId not found => Tenant with the following connectionURIDomain, "+
			"appId and tenantId combination not found: (, "+c.app+", public)")
	}
	return nil
}

// refuseKey records the attempt before it is answered.
func (d *Interface) refuseKey(c *call) *reply {
	e := d.event(c, audit.Refused)
	e.Reason = "invalid_api_key"
	e.Detail = map[string]string{"app": c.app, "path": c.endpoint.path}
	if err := d.record(c, e); err != nil {
		return d.unavailable(c, "record a refused API key", err)
	}
	return text(http.StatusUnauthorized, "Invalid API key")
}

func (d *Interface) event(c *call, outcome audit.Outcome) audit.Event {
	e := audit.Event{
		ID: directory.RandomID(), At: d.now(), Kind: audit.KindMint, Outcome: outcome, Action: "mint",
		Endpoint: "supertokens", Unproven: !c.keyed, RequestID: web.RequestID(c.w),
	}
	if a := web.Address(c.r); a.IsValid() {
		e.Address = a.String()
	}
	return e
}

// record gives the audit log two seconds, as every endpoint does.
func (d *Interface) record(c *call, e audit.Event) error {
	// A client that closed its half of the connection still waits for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), 2*time.Second)
	defer cancel()
	c.recorded = true
	return d.auditor.Append(ctx, e)
}

func (d *Interface) hello(*call) *reply { return text(http.StatusOK, "Hello") }

// apiVersion lists the versions. The core also stores the domains in the query, which nothing
// here needs.
func (d *Interface) apiVersion(*call) *reply {
	return jsonText(`{"versions":["` + strings.Join(versions, `","`) + `"]}`)
}

// telemetry: there is none.
func (d *Interface) telemetry(*call) *reply { return jsonText(`{"exists":false}`) }

func (d *Interface) publicJWKS(c *call) *reply {
	keys, maxAge, err := d.jwks(c)
	if err != nil {
		return d.unavailable(c, "publish keys", err)
	}
	a := jsonText(`{"keys":` + keys + `}`)
	a.header = http.Header{"Cache-Control": {fmt.Sprintf("max-age=%d, must-revalidate", maxAge)}}
	return a
}

func (d *Interface) recipeJWKS(c *call) *reply {
	keys, _, err := d.jwks(c)
	if err != nil {
		return d.unavailable(c, "publish keys", err)
	}
	return jsonText(`{"keys":` + keys + `,"status":"OK"}`)
}

// jwks returns the published keys as a JSON array, and for how many seconds no other will
// be made.
func (d *Interface) jwks(c *call) (keys string, maxAge int64, err error) {
	s, err := d.rings[c.app].keys(c.r.Context())
	if err != nil {
		return "", 0, err
	}
	now := d.now()
	var jwks []string
	for _, k := range s.published(now) {
		jwks = append(jwks, k.jwk)
	}
	left := s.renewAt().UnixMilli() - now.UnixMilli()
	return "[" + strings.Join(jwks, ",") + "]", max(1, left/1000), nil
}
