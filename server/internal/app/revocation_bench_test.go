package app

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
	"github.com/watchword-dev/watchword/verify"
)

// BenchmarkRevocationArrives measures what docs/revocation.md states: the time from the answer to
// the request that revokes until package verify refuses the token, in another process's place: it
// follows the deny-list over HTTP, with PostgreSQL that of another replica.
//
//	go test ./internal/app -run '^$' -bench RevocationArrives -benchtime 100x
func BenchmarkRevocationArrives(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) {
		s := start(b, oauthConfig(b))
		arrivals(b, s, s)
		b.Run("token,1000pollers", func(b *testing.B) {
			s.crowd(b, 1000)
			arrival(b, s, s, byToken)
		})
		b.Run("token,10000denied", func(b *testing.B) {
			denyMany(b, s, 10_000)
			arrival(b, s, s, byToken)
		})
	})
	b.Run("PostgreSQL", func(b *testing.B) {
		url := pgtest.Start(b)
		replicas := make([]*server, 2)
		cfg := oauthConfig(b)
		for i := range replicas {
			other := oauthConfig(b)
			other.Database, other.Keys.SealingKeyFile = config.NewSecret(url), cfg.Keys.SealingKeyFile
			if i == 0 {
				other = cfg
				other.Database = config.NewSecret(url)
			}
			replicas[i] = start(b, other)
		}
		arrivals(b, replicas[0], replicas[1])
		db, err := sql.Open("pgx", url)
		must(b, err)
		defer db.Close()
		b.Run("token,noticeLost", func(b *testing.B) {
			arrival(b, replicas[0], replicas[1], func(b *testing.B, _ *server, token string) { withoutNotice(b, db, token) })
		})
	})
}

func arrivals(b *testing.B, here, there *server) {
	here.service("m1", "m2")
	here.allow("m1", "m2")
	b.Run("token", func(b *testing.B) { arrival(b, here, there, byToken) })
	b.Run("credential", func(b *testing.B) {
		arrival(b, here, there, func(b *testing.B, s *server, token string) {
			s.operate("POST", "/credentials/"+part(b, token, 1)["deps"].([]any)[1].(string)+"/revoke", "")
		})
	})
	b.Run("service", func(b *testing.B) {
		arrival(b, here, there, func(_ *testing.B, s *server, _ string) { s.operate("PATCH", "/services/m1", `{"disabled":true}`) })
	})
	b.Run("key", func(b *testing.B) {
		arrival(b, here, there, func(b *testing.B, s *server, token string) {
			s.operate("POST", "/keys/"+part(b, token, 0)["kid"].(string)+"/revoke", "")
		})
	})
}

func byToken(_ *testing.B, s *server, token string) {
	s.operate("POST", "/revocations", `{"token":"`+token+`"}`)
}

// withoutNotice revokes a token as a replica whose notice is lost: the floor is polling.
func withoutNotice(b *testing.B, db *sql.DB, token string) {
	jti, now := part(b, token, 1)["jti"], time.Now().UnixMicro()
	tx, err := db.BeginTx(b.Context(), nil)
	must(b, err)
	var revision int64
	err = tx.QueryRow(`UPDATE counters SET value = value + 1 WHERE name = 'revision' RETURNING value`).Scan(&revision)
	_, err2 := tx.Exec(`INSERT INTO revocations (id, revoked_at, until_at) VALUES ($1, $2, $3)`, jti, now, now+3_600_000_000)
	_, err3 := tx.Exec(`INSERT INTO changes (revision, at, actor, request_id, action, subject, detail) VALUES ($1, $2, 'bench', '', 'token.revoke', $3, '{}')`,
		revision, now, fmt.Sprintf("revocation/%s", jti))
	must(b, errors.Join(err, err2, err3, tx.Commit()))
}

func arrival(b *testing.B, here, there *server, revoke func(*testing.B, *server, string)) {
	here.operate("PATCH", "/services/m1", `{"disabled":false}`)
	var asked, answered []time.Duration
	for range b.N {
		sinceAsked, sinceAnswered := oneArrival(b, here, there, revoke)
		asked, answered = append(asked, sinceAsked), append(answered, sinceAnswered)
	}
	slices.Sort(asked)
	slices.Sort(answered)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(asked[len(asked)/2].Seconds()*1000, "asked-p50-ms")
	b.ReportMetric(answered[len(answered)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(answered[len(answered)-1].Seconds()*1000, "max-ms")
}

func oneArrival(b *testing.B, here, there *server, revoke func(*testing.B, *server, string)) (sinceAsked, sinceAnswered time.Duration) {
	credential, _ := here.credential("m1")
	token := here.accessToken(credential, "m2")
	for known := false; !known; { // by the other replica, so that the first key set has it
		_, known = there.s.ring.Verifiers(keys.UseAccess).Find(part(b, token, 0)["kid"].(string))
	}
	v, err := verify.New(b.Context(), verify.Config{
		Issuer: "auth-server", Audience: "m2", JWKSURL: there.url + "/.well-known/jwks.json", Revocations: verify.Revocations{URL: there.url + "/oauth2/denylist"},
	})
	must(b, err)
	defer v.Close()
	good := func() bool { _, err := v.Verify(b.Context(), token); return err == nil }
	for !good() { // what the one before revoked is being taken back
		time.Sleep(time.Millisecond)
	}
	time.Sleep(250 * time.Millisecond) // until it waits for news, as followers nearly always do
	refused := make(chan time.Time, 1)
	go func() {
		for good() {
			time.Sleep(50 * time.Microsecond)
		}
		refused <- time.Now()
	}()
	asked := time.Now()
	revoke(b, here, token)
	answered := time.Now()
	at := <-refused // perhaps before the answer was there
	if there.s.directory.Snapshot().Denied(part(b, token, 1)["deps"].([]any)[0].(string)) {
		here.operate("PATCH", "/services/m1", `{"disabled":false}`)
		for there.s.directory.Snapshot().Denied(part(b, token, 1)["deps"].([]any)[0].(string)) {
			time.Sleep(time.Millisecond)
		}
	}
	return at.Sub(asked), max(at.Sub(answered), 0)
}

// crowd has n more wait for news, each of which asks again when there is some.
func (s *server) crowd(b *testing.B, n int) {
	etag := s.do(s.request("GET", s.url+"/oauth2/denylist", "")).header.Get("ETag")
	for range n {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		must(b, err)
		b.Cleanup(func() { c.Close() })
		go func() {
			r := bufio.NewReader(c)
			for etag := etag; ; {
				_, err := io.WriteString(c, "GET /oauth2/denylist?wait=25 HTTP/1.1\r\nHost: x\r\nIf-None-Match: "+etag+"\r\n\r\n")
				if err != nil {
					return
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				etag = resp.Header.Get("ETag")
			}
		}()
	}
}

// denyMany fills the list.
func denyMany(b *testing.B, s *server, n int) {
	for range n {
		r := directory.Revocation{ID: directory.RandomID(), RevokedAt: time.Now(), Until: time.Now().Add(time.Hour)}
		change := directory.Change{At: time.Now(), Actor: "bench", Action: "token.revoke", Subject: directory.SubjectRevocation(r.ID)}
		if _, err := s.s.db.InsertRevocation(b.Context(), r, change); err != nil {
			b.Fatal(err)
		}
	}
	must(b, s.s.directory.CatchUp(b.Context()))
}

// BenchmarkPoller measures the memory of the server for one that waits for news.
//
//	go test ./internal/app -run '^$' -bench Poller -benchtime 2000x
func BenchmarkPoller(b *testing.B) {
	s := start(b, testConfig(b))
	etag := s.do(s.request("GET", s.url+"/oauth2/denylist", "")).header.Get("ETag")
	before := memory()
	for range b.N {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		must(b, err)
		defer c.Close()
		if _, err := io.WriteString(c, "GET /oauth2/denylist?wait=25 HTTP/1.1\r\nHost: x\r\nIf-None-Match: "+etag+"\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
	}
	for s.waiting(b) < float64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(memory()-before)/float64(b.N), "B/poller")
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
