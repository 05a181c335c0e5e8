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

// denyList is what is revoked. The mutex of Issuer guards it.
type denyList struct {
	ids, keys []string
	revision  int64
	counts    []int // of ids, by revision
	epoch     int64

	changed signal // something changed
	held    signal // a request is held
	holding int64  // one more than the revision of the last such request
	waiting int    // number of requests that are held
	ended   bool
}

// signal wakes all that wait for it. The first of them creates the channel, so that an Issuer can be used in a
// synctest bubble and end outside of it.
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

// Revoke revokes ids, which are the jti of tokens or ids of their DependsOn.
func (i *Issuer) Revoke(ids ...string) { i.denyMore(ids, nil) }

// RevokeKey revokes the key that signs, and signs with the key that is published next, as a real issuer does. If
// there is none, it creates one, of which a verifier learns when it follows the deny-list. The revoked key stays
// published.
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
	for int64(len(i.deny.counts)) <= i.deny.revision {
		i.deny.counts = append(i.deny.counts, len(i.deny.ids)-len(ids))
	}
	i.deny.revision++
	i.deny.changed.wake()
}

// Restore restores the issuer from a backup in which nothing is revoked.
func (i *Issuer) Restore() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.deny.ids, i.deny.keys, i.deny.counts, i.deny.revision = nil, nil, nil, 0
	i.deny.epoch++
	i.deny.changed.wake()
}

// AwaitFollower returns when a verifier that follows the deny-list knows everything that was revoked.
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

// DenyList returns the current signed deny-list and its ETag.
func (i *Issuer) DenyList() (token, etag string) {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.signDenials("denylist+jwt", map[string]any{"denied": i.deny.ids}), `"` + i.deny.state() + `"`
}

// state returns the name of the current state of the list.
func (d *denyList) state() string { return fmt.Sprintf("%d.%d", d.epoch, d.revision) }

// signDenials signs a list or an update, which consist of lists of ids by claim.
func (i *Issuer) signDenials(typ string, lists map[string]any) string {
	now := time.Now()
	claims := map[string]any{
		"iss": i.URL, "issuers": []string{i.URL, i.Name}, "iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(),
		"epoch": i.deny.epoch, "rev": i.deny.revision, "state": i.deny.state(), "keys": append([]string{}, i.deny.keys...),
	}
	for claim, value := range lists {
		if ids, ok := value.([]string); ok {
			value = slices.Sorted(slices.Values(append([]string{}, ids...)))
		}
		claims[claim] = value
	}
	payload, err := json.Marshal(claims)
	var token string
	if err == nil {
		token, err = i.active.Sign(typ, payload)
	}
	if err != nil {
		i.t.Errorf("verifytest: make the deny-list: %v", err)
	}
	return token
}

// update returns the signed update from a state, if the state is of this epoch.
func (i *Issuer) update(from string) (token string, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var epoch, revision int64
	if _, err := fmt.Sscanf(from, "%d.%d", &epoch, &revision); err != nil || epoch != i.deny.epoch || revision > i.deny.revision {
		return "", false
	}
	add := []string{}
	if revision < i.deny.revision {
		add = append(add, i.deny.ids[i.deny.counts[revision]:]...)
	}
	return i.signDenials("denylist-update+jwt", map[string]any{"from": from, "add": add, "remove": []string{}}), true
}

// serveDenyList answers like the server, with ?since=STATE and ?wait=SECONDS.
func (i *Issuer) serveDenyList(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	seconds, _ := strconv.Atoi(query.Get("wait"))
	since := query.Get("since")
	timer := time.NewTimer(time.Duration(seconds) * time.Second)
	defer timer.Stop()
	for {
		token, etag := i.DenyList()
		known := since != "" && `"`+since+`"` == etag || since == "" && r.Header.Get("If-None-Match") == etag
		changed, down := i.hold(known)
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		if !known {
			i.answerDenials(w, since, token, etag)
			return
		}
		over := false
		select {
		case <-changed:
		case <-timer.C:
			i.answerDenials(w, since, token, etag)
			over = true
		case <-r.Context().Done():
			over = true
		}
		if i.release(); over {
			return
		}
	}
}

// answerDenials writes the update from a state, or the whole list if there is none.
func (i *Issuer) answerDenials(w http.ResponseWriter, since, token, etag string) {
	w.Header().Set("ETag", etag)
	if update, ok := i.update(since); ok {
		w.Header().Set("Content-Type", "application/denylist-update+jwt")
		token = update
	} else {
		w.Header().Set("Content-Type", "application/jwt")
	}
	_, _ = w.Write([]byte(token))
}

// hold returns what to wait for. A request for what is already known means that its sender has everything.
func (i *Issuer) hold(known bool) (changed <-chan struct{}, down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.down || i.deny.ended {
		return nil, true
	}
	if known {
		i.deny.holding = i.deny.revision + 1
		i.deny.held.wake()
		i.deny.waiting++
		changed = i.deny.changed.wait()
	}
	return changed, false
}

// release removes the channel for which nobody waits any more.
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
