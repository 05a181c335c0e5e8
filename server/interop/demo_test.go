package interop

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

var sdks = []string{"supertokens-node-16", "supertokens-node-24"}

const century = 100 * 365 * 24 * 3600

// demo is the public demo, with the checks it leaves out: an auth server on an SDK and three
// microservices, each a process.
type demo struct {
	authServer  string
	services    map[string]string
	credentials map[string]string
}

func startDemo(t *testing.T, s *server, sdk string) *demo {
	t.Helper()
	d := &demo{services: map[string]string{}, credentials: map[string]string{}}
	d.authServer = listening(t, node(t, s.client("SDK="+sdk), "authserver.js"))
	mint := startSDK(t, s.client("SDK="+sdk))
	var processes []*process
	for _, name := range []string{"m1", "m2", "m3"} {
		d.credentials[name] = mint.createJWT(t, map[string]any{"iss": "auth-server", "sub": name, "aud": "auth-server"}, century, nil)
		p := node(t, []string{"AUTH_SERVER=" + d.authServer, "CREDENTIAL=" + d.credentials[name]}, "microservice.js", name)
		d.services[name] = listening(t, p)
		processes = append(processes, p)
	}
	for _, p := range processes {
		var ready struct{ Ready bool }
		p.write(t, d.services)
		p.read(t, &ready)
	}
	return d
}

// listening waits until a server says which port it has.
func listening(t *testing.T, p *process) (url string) {
	t.Helper()
	var at struct{ Port int }
	p.read(t, &at)
	return "http://127.0.0.1:" + strconv.Itoa(at.Port)
}

func TestDemo(t *testing.T) {
	for _, sdk := range sdks {
		t.Run(sdk, func(t *testing.T) {
			d := startDemo(t, startServer(t), sdk)
			allowed := map[string]bool{"m1m1": true, "m1m2": true, "m2m1": true, "m2m2": true, "m3m1": true}
			for _, caller := range []string{"m1", "m2", "m3"} {
				for _, target := range []string{"m1", "m2", "m3"} {
					status, body := post(t, d.services[caller]+"/query", "", target)
					wantStatus, want := 401, "Unauthorized target microservice"
					if allowed[caller+target] {
						wantStatus, want = 200, "Hello to "+caller+" from "+target+"!"
					}
					if status != wantStatus || body != want {
						t.Errorf("%s calls %s: %d %q, want %d %q", caller, target, status, body, wantStatus, want)
					}
				}
			}
			d.attack(t)
		})
	}
}

// attack is what the public demo lets pass or dies of.
func (d *demo) attack(t *testing.T) {
	t.Helper()
	_, body := post(t, d.authServer+"/accesstoken", d.credentials["m1"], "m2")
	var answer struct{ AccessToken string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("m1 gets no token for m2: %s", body)
	}
	token := answer.AccessToken
	if status, body := get(t, d.services["m2"]+"/hello", token); status != 200 || body != "Hello to m1 from m2!" {
		t.Errorf("m1's token at m2: %d %s", status, body)
	}
	if status, body := get(t, d.services["m3"]+"/hello", token); status != 401 || !strings.Contains(body, "audience") {
		t.Errorf("m1's token for m2, sent on to m3: %d %s", status, body)
	}
	if status, body := post(t, d.authServer+"/accesstoken", token, "m1"); status != 401 || !strings.Contains(body, "audience") {
		t.Errorf("m1's token for m2 as a credential: %d %s", status, body)
	}
	if status, body := get(t, d.services["m2"]+"/hello", d.credentials["m1"]); status != 401 {
		t.Errorf("m1's credential as a token: %d %s", status, body)
	}
	parts := strings.Split(token, ".")
	for _, header := range []string{`{"alg":"RS256"}`, `{"alg":"RS256","kid":"nobody's"}`, `{"alg":"none"}`} {
		forged := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "." + parts[2]
		if status, _ := get(t, d.services["m2"]+"/hello", forged); status != 401 {
			t.Errorf("token with header %s: %d", header, status)
		}
	}
	if status, _ := get(t, d.services["m2"]+"/hello", token); status != 200 {
		t.Errorf("after all that m2 answers %d", status)
	}
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	return send(t, http.MethodGet, url, token, "")
}

func post(t *testing.T, url, token, target string) (int, string) {
	t.Helper()
	return send(t, http.MethodPost, url, token, `{"target":"`+target+`"}`)
}

func send(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	must(t, err)
	return answer.StatusCode, string(b)
}
