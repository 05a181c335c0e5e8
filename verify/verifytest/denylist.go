package verifytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const denyListPath = "/oauth2/denylist"

// denyList is what is revoked. It is guarded by the Issuer's mutex.
type denyList struct {
	ids, keys []string
	revision  int64

	changed signal // something did
	held    signal // a request begins to be held
	holding int64  // one more than the revision of the last such request
	waiting int    // requests being held
	ended   bool
}

// signal wakes all who wait. The channel is made by the first of them, so that an Issuer can be used
// in a synctest bubble and end outside of it.
type signal struct{ c chan struct{} }

func (s *signal) wait() <-chan struct{} {
	if s.c == nil {
		s.c = make(chan struct{})
	}
	return s.c
}

func (s *signal) wake() {
	if s.c != nil {
		close(s.c)
		s.c = nil
	}
}

// Revoke denies ids: jtis of tokens, or what their DependsOn names.
func (i *Issuer) Revoke(ids ...string) { i.denyMore(ids, nil) }

// RevokeKey denies the key that signs now, and signs with the one published after it, as a real
// issuer does; if there is none, with a new one, which a verifier that follows the deny-list hears of
// with that. The denied key stays published.
func (i *Issuer) RevokeKey() {
	i.t.Helper()
	i.mu.Lock()
	old, standsBy := i.active.ID(), i.published[len(i.published)-1] != i.active
	i.mu.Unlock()
	if !standsBy {
		i.Publish("ES256")
	}
	i.Activate()
	i.denyMore(nil, []string{old})
}

func (i *Issuer) denyMore(ids, keys []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.deny.ids, i.deny.keys = append(i.deny.ids, ids...), append(i.deny.keys, keys...)
	i.deny.revision++
	i.deny.changed.wake()
}

// AwaitFollower returns when a verifier that follows the deny-list has all that was revoked
// so far.
func (i *Issuer) AwaitFollower() {
	i.t.Helper()
	for {
		i.mu.Lock()
		done, held := i.deny.holding == i.deny.revision+1, i.deny.held.wait()
		i.mu.Unlock()
		if done {
			return
		}
		select {
		case <-held:
		case <-i.t.Context().Done():
			i.t.Fatal("verifytest: nobody follows the deny-list")
		}
	}
}

// DenyList is the signed deny-list as it is now, with the ETag it has.
func (i *Issuer) DenyList() (token, etag string) {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	ids, keys := slices.Clone(i.deny.ids), slices.Clone(i.deny.keys)
	slices.Sort(ids)
	payload, err := json.Marshal(map[string]any{
		"iss": i.URL, "issuers": []string{i.URL, i.Name}, "iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(),
		"rev": i.deny.revision, "denied": append([]string{}, ids...), "keys": append([]string{}, keys...),
	})
	if err == nil {
		token, err = i.active.Sign("denylist+jwt", payload)
	}
	if err != nil {
		i.t.Errorf("verifytest: make the deny-list: %v", err)
	}
	return token, fmt.Sprintf(`"%d"`, i.deny.revision)
}

// serveDenyList holds a request with ?wait=SECONDS for what is known already.
func (i *Issuer) serveDenyList(w http.ResponseWriter, r *http.Request) {
	seconds, _ := strconv.Atoi(r.URL.Query().Get("wait"))
	timer := time.NewTimer(time.Duration(seconds) * time.Second)
	defer timer.Stop()
	for {
		token, etag := i.DenyList()
		changed, down := i.hold(r.Header.Get("If-None-Match") == etag)
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") != etag {
			w.Header().Set("Content-Type", "application/jwt")
			_, _ = w.Write([]byte(token))
			return
		}
		over := false
		select {
		case <-changed:
		case <-timer.C:
			w.WriteHeader(http.StatusNotModified)
			over = true
		case <-r.Context().Done():
			over = true
		}
		if i.release(); over {
			return
		}
	}
}

// hold returns what to wait for. A request for what is known already means that its sender has
// all there is.
func (i *Issuer) hold(known bool) (changed <-chan struct{}, down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if known && !i.down && !i.deny.ended {
		i.deny.holding = i.deny.revision + 1
		i.deny.held.wake()
		i.deny.waiting++
	}
	return i.deny.changed.wait(), i.down || i.deny.ended
}

// release forgets the channel nobody waits for any more.
func (i *Issuer) release() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.deny.waiting--; i.deny.waiting == 0 {
		i.deny.changed = signal{}
	}
}

func (i *Issuer) endPolls() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.deny.ended = true
	i.deny.changed.wake()
}
