package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// creating are the operations that take an Idempotency-Key, by operationId, each with a request.
var creating = map[string]struct{ path, body string }{
	"createService":    {"/services", `{"name":"new"}`},
	"createCredential": {"/services/m1/credentials", `{"kind":"secret","name":"ci"}`},
	"createTrust":      {"/trusts", `{"name":"new","issuer":"https://issuer.example.com"}`},
	"rotateCredential": {"/credentials/{credential}/rotate", `{"overlapSeconds":60}`},
	"rotateKeys":       {"/keys/rotate", `{"use":"access","now":true}`},
	"createRevocation": {"/revocations", `{"jti":"5f1e2d3c4b5a69788796a5b4c3d2e1f0"}`},
	"applyCallMap":     {"/callmap/apply", `{"files":[{"name":"a.yaml","text":"version: 1\nservices: {b1: }\n"}],"base":{base},"reason":"r","author":"a"}`},
	"rollbackCallMap":  {"/callmap/history/{applied}/rollback", `{"reason":"r"}`},
}

// answerKey is that of all replicas in these tests.
var answerKey = []byte("answer key of the tests, 32 byte")

// replicas are two servers on one database. The second is also what the first is after a restart.
func replicas(t *testing.T, change func(*Options)) (first, second *server) {
	t.Helper()
	var o Options
	first = start(t, func(x *Options) {
		x.AnswerKey = answerKey
		change(x)
		o = *x
	})
	copied := *first
	second = &copied
	second.ring = keys.NewRing(first.db, first.sealer, keys.Options{})
	second.directory = directory.New(first.db, first.db, directory.Options{Keys: second.ring.Additions, OnKeys: second.ring.Reload})
	for _, load := range []func(context.Context) error{second.ring.Load, second.directory.Load} {
		if err := load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	authenticator := clientauth.New(clientauth.Options{
		PlainIssuer: "auth-server",
		Credentials: func() *jose.KeySet { return second.ring.Verifiers(keys.UseCredential) },
		Access:      func() *jose.KeySet { return second.ring.Verifiers(keys.UseAccess) },
	})
	o.Issuer = issuer.New(second.directory, second.ring, authenticator, nil, first.log, issuer.Options{PlainIssuer: "auth-server", Issuer: "http://localhost:8000", Pepper: testPepper})
	o.Directory, o.Keys = second.directory, second.ring
	o.Stack = web.NewStack(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), 0).Apart(WriteProblem, MaxLarge)
	second.Handler = New(o)
	return first, second
}

// kept notes which answers are stored.
type kept struct {
	Repeats
	mu   sync.Mutex
	all  [][]byte
	lose bool
}

func (k *kept) KeepAnswer(ctx context.Context, id string, answer []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all = append(k.all, answer); k.lose {
		return errors.New("the server is killed here")
	}
	return k.Repeats.KeepAnswer(ctx, id, answer)
}

func keeping(k *kept) func(*Options) {
	return func(o *Options) { k.Repeats, o.Repeats = o.Repeats, k }
}

func (s *server) revision() int64 {
	s.Helper()
	state, err := s.db.Load(context.Background())
	if err != nil {
		s.Fatal(err)
	}
	return state.Revision
}

// F86: a request that creates something has one effect and one answer, however often it arrives with the same
// Idempotency-Key, on whichever replica, also after a restart. What is stored of it has no secret that can be read.
func TestRepeatedRequestHasOneEffectAndOneAnswer(t *testing.T) {
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct{ Name, In string }
		}
	}
	k := &kept{}
	first, second := replicas(t, keeping(k))
	first.services("m1")
	if err := json.Unmarshal(first.do(first.request("GET", openAPIPath, "")).Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	for path, item := range document.Paths {
		for method, o := range item {
			taken := slices.ContainsFunc(o.Parameters, func(p struct{ Name, In string }) bool { return p.Name == idempotencyHeader && p.In == "header" })
			if _, ok := creating[o.OperationID]; ok != taken {
				t.Errorf("%s %s: takes an Idempotency-Key: %t", method, path, taken)
			}
		}
	}
	var issued api.IssuedCredential
	first.must("POST", "/services/m1/credentials", `{"kind":"secret"}`).into(&issued)
	applied := first.must("POST", "/callmap/apply", fmt.Sprintf(`{"files":[{"name":"a.yaml","text":"version: 1\nservices: {a1: , b1: }\n"}],"base":%d,"reason":"r","author":"a"}`, first.revision())).members()
	for _, id := range slices.Sorted(maps.Keys(creating)) {
		o := creating[id]
		key := fmt.Sprintf("%q", "key of "+strings.ToLower(id))
		key = strings.ReplaceAll(key, " ", "-")
		path := strings.NewReplacer("{credential}", issued.Credential.ID, "{applied}", fmt.Sprint(applied["revision"])).Replace(o.path)
		body := strings.ReplaceAll(o.body, "{base}", fmt.Sprint(first.revision()))
		if err := second.directory.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := first.revision()
		a := first.must("POST", path, body, idempotencyHeader, key)
		after := first.revision()
		if after != before+1 {
			t.Errorf("%s: made %d changes", id, after-before)
		}
		for name, s := range map[string]*server{"the same server": first, "another one": second} {
			b := s.ask("POST", path, body, idempotencyHeader, key)
			if b.Code != a.Code || !bytes.Equal(b.Body.Bytes(), a.Body.Bytes()) || b.Header().Get("ETag") != a.Header().Get("ETag") || b.Header().Get("Location") != a.Header().Get("Location") {
				t.Errorf("%s, %s: got %d %s %v, want %d %s %v", id, name, b.Code, b.Body, b.Header(), a.Code, a.Body, a.Header())
			}
		}
		if first.revision() != after {
			t.Errorf("%s: the repeated request made changes", id)
		}
		if id == "createCredential" || id == "rotateCredential" {
			a.into(&issued)
		}
		if id == "createCredential" {
			for _, stored := range k.all {
				if bytes.Contains(stored, []byte(issued.Secret)) {
					t.Error("the stored answer shows the secret")
				}
			}
		}
	}
	// Without a key, and with another one, it is another request.
	for _, key := range []string{"", "another", `"a-third"`} {
		before := first.revision()
		if first.must("POST", "/services/m1/credentials", `{}`, idempotencyHeader, key); first.revision() != before+1 {
			t.Errorf("%q: nothing was made", key)
		}
	}
	if first.must("POST", "/services/m1/credentials", `{}`, idempotencyHeader, `"another"`); len(first.records("")) == 0 {
		t.Error("repeated requests are not recorded")
	}
}

// F86: a key belongs to one request, and is one string.
func TestIdempotencyKeyOfAnotherRequestIsRefused(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("POST", "/services/m1/credentials", `{"name":"a"}`, idempotencyHeader, "k1")
	before := s.revision()
	for path, body := range map[string]string{"/services/m1/credentials": `{"name":"b"}`, "/services/m2/credentials": `{"name":"a"}`, "/services": `{"name":"m3"}`} {
		s.ask("POST", path, body, idempotencyHeader, "k1").wantProblem(path, http.StatusUnprocessableEntity)
	}
	for _, key := range []string{`""`, `"`, `"a`, `a"`, "a b", "ü", `a\b`, strings.Repeat("k", 256)} {
		s.ask("POST", "/services/m1/credentials", `{}`, idempotencyHeader, key).wantProblem(key, http.StatusBadRequest)
	}
	r := s.request("POST", prefix+"/services/m1/credentials", `{}`)
	r.Header[idempotencyHeader] = []string{"k2", "k3"}
	s.do(r).wantProblem("two keys", http.StatusBadRequest)
	if s.revision() != before {
		t.Error("a refused request made a change")
	}
	// A refused request is not carried out, so its key is free.
	s.ask("POST", "/services/m9/credentials", `{}`, idempotencyHeader, "k4").wantProblem("no service", http.StatusNotFound)
	s.must("POST", "/services/m1/credentials", `{}`, idempotencyHeader, "k4")
}

// F86: of requests with one key at the same time, on two replicas, one is carried out. The others hear that it is in
// progress, or its answer.
func TestConcurrentRequestsWithOneKeyHaveOneEffect(t *testing.T) {
	first, second := replicas(t, func(*Options) {})
	first.services("m1")
	var issued api.IssuedCredential
	first.must("POST", "/services/m1/credentials", `{"kind":"secret"}`).into(&issued)
	if err := second.directory.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/services/m1/credentials", "/credentials/" + issued.Credential.ID + "/rotate"} {
		before := first.revision()
		replies := make(chan reply, 16)
		for i := range cap(replies) {
			s := []*server{first, second}[i%2]
			go func() { replies <- s.ask("POST", path, `{}`, idempotencyHeader, path) }()
		}
		bodies := map[string]bool{}
		for range cap(replies) {
			if a := <-replies; a.Code == http.StatusCreated {
				bodies[a.Body.String()] = true
			} else if a.wantProblem(path, http.StatusConflict); a.members()["code"] != "request_in_progress" {
				t.Errorf("%s: got %s", path, a.Body)
			}
		}
		if len(bodies) != 1 || first.revision() != before+1 {
			t.Errorf("%s: got %d different answers, and %d changes", path, len(bodies), first.revision()-before)
		}
	}
}

// F86: a server that ends between the change and its answer leaves no credential that nobody has. The repeated request
// is told that it is in progress, and then gets another credential in the place of the lost one.
func TestLostAnswerLeavesNoOrphan(t *testing.T) {
	k := &kept{lose: true}
	later := time.Duration(0)
	s := start(t, keeping(k), func(o *Options) { o.Now = func() time.Time { return time.Now().Add(later) } })
	s.services("m1")
	var lost, again api.IssuedCredential
	ask := func() reply {
		return s.ask("POST", "/services/m1/credentials", `{"kind":"secret","name":"ci"}`, idempotencyHeader, "k1")
	}
	ask().into(&lost)
	s.must("POST", "/services", `{"name":"m2"}`, idempotencyHeader, "k2")
	ask().wantProblem("soon after", http.StatusConflict)
	later = answerDue
	k.lose = false
	ask().into(&again)
	if again.Secret == "" || again.Secret == lost.Secret || again.Credential.ID == lost.Credential.ID {
		t.Errorf("got %+v after %+v", again, lost)
	}
	var c api.Credential
	if s.must("GET", "/credentials/"+lost.Credential.ID, "").into(&c); c.Status != "revoked" {
		t.Errorf("the lost credential is %s", c.Status)
	}
	if a := ask(); a.Code != http.StatusCreated || !strings.Contains(a.Body.String(), again.Secret) {
		t.Errorf("the next time: got %d %s", a.Code, a.Body)
	}
	a := s.ask("POST", "/services", `{"name":"m2"}`, idempotencyHeader, "k2")
	if a.wantProblem("a service", http.StatusConflict); a.members()["code"] != "answer_lost" {
		t.Errorf("got %s", a.Body)
	}
}
