package admin

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/api"
)

func TestPagesTogetherAreTheList(t *testing.T) {
	s := start(t)
	var names []string
	for i := range 7 {
		names = append(names, fmt.Sprintf("m%d", i))
	}
	s.services(names...)
	for _, n := range names {
		s.must("PUT", "/rules/m0/"+n, `{}`)
		s.must("PUT", "/rules/"+n+"/m1", `{}`)
		s.must("POST", "/services/m3/credentials", `{}`)
		s.must("POST", "/services/m4/credentials", `{}`)
	}
	for list, want := range map[string]int{
		"/services?": 7, "/credentials?": 14, "/services/m3/credentials?": 7, "/rules?": 13, "/rules?caller=m0&": 7, "/rules?target=m1&": 7, "/rules?caller=m0&target=m1&": 1,
	} {
		for _, limit := range []int{1, 3, 7, 1000} {
			var all []string
			next := ""
			for pages := 0; ; pages++ {
				m := s.must("GET", fmt.Sprintf("%slimit=%d&pageToken=%s", list, limit, next), "").members()
				next, _ = m["nextPageToken"].(string)
				delete(m, "nextPageToken")
				for _, rows := range m {
					for _, row := range rows.([]any) {
						all = append(all, fmt.Sprint(row))
					}
					if n := len(rows.([]any)); n > limit || next != "" && n != limit {
						t.Errorf("%slimit=%d: got a page of %d", list, limit, n)
					}
				}
				if next == "" || pages > 20 {
					break
				}
			}
			slices.Sort(all)
			if len(all) != want || len(slices.Compact(all)) != want {
				t.Errorf("%slimit=%d: got %d rows, want %d, each once", list, limit, len(all), want)
			}
		}
	}
}

// Limits of lists, as the tags of Page have them.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// DOS-009.
func TestPageHasALimit(t *testing.T) {
	s := start(t)
	for i := range defaultLimit + 1 {
		s.services(fmt.Sprintf("m%d", i))
	}
	var page api.ServiceList
	if s.must("GET", "/services", "").into(&page); len(page.Services) != defaultLimit || page.NextPageToken == "" {
		t.Errorf("got %d services without a limit, want %d and a token", len(page.Services), defaultLimit)
	}
	if m := s.must("GET", "/changes", "").members(); len(m["changes"].([]any)) != defaultLimit {
		t.Errorf("got %d changes without a limit, want %d", len(m["changes"].([]any)), defaultLimit)
	}
	for _, list := range []string{"/services", "/credentials", "/services/m1/credentials", "/rules", "/changes"} {
		s.must("GET", fmt.Sprintf("%s?limit=%d", list, maxLimit), "")
		for _, limit := range []string{"1001", "0", "-1", "100000", "99999999999999999999", "1e3", "x", "%00"} {
			s.ask("GET", list+"?limit="+limit, "").wantProblem(list+" limit "+limit, http.StatusUnprocessableEntity)
		}
	}
}

// ADM-004.
func TestPageTokenIsGoodForItsListOnly(t *testing.T) {
	s := start(t)
	s.services("m1", "m2", "m3")
	for _, edge := range []string{"m1/m2", "m1/m3", "m2/m3", "m1/m1"} {
		s.must("PUT", "/rules/"+edge, `{}`)
	}
	for range 2 {
		s.must("POST", "/services/m1/credentials", `{}`)
	}
	tokenOf := func(list string) string {
		m := s.must("GET", list, "").members()
		token, _ := m["nextPageToken"].(string)
		if token == "" {
			t.Fatalf("%s: no token", list)
		}
		return token
	}
	lists := map[string]string{
		"/services?":                tokenOf("/services?limit=1"),
		"/credentials?":             tokenOf("/credentials?limit=1"),
		"/services/m1/credentials?": tokenOf("/services/m1/credentials?limit=1"),
		"/rules?":                   tokenOf("/rules?limit=1"),
		"/rules?caller=m1&":         tokenOf("/rules?caller=m1&limit=1"),
		"/rules?target=m3&":         tokenOf("/rules?target=m3&limit=1"),
	}
	for of, token := range lists {
		for list := range lists {
			a := s.ask("GET", list+"pageToken="+token, "")
			if list == of {
				if a.Code != http.StatusOK {
					t.Errorf("%s: its own token: got %d %s", list, a.Code, a.Body)
				}
				continue
			}
			a.wantProblem("the token of "+of+" for "+list, http.StatusBadRequest)
		}
	}
	token := lists["/services?"]
	raw, _ := base64.RawURLEncoding.DecodeString(token)
	for i := range len(raw) * 8 {
		flipped := bytes.Clone(raw)
		flipped[i/8] ^= 1 << (i % 8)
		s.ask("GET", "/services?pageToken="+base64.RawURLEncoding.EncodeToString(flipped), "").wantProblem(fmt.Sprint("bit ", i), http.StatusBadRequest)
	}
	for _, forged := range []string{
		"m1", "x", "AAAA", token + "A", token + "=", token[:len(token)-1], "\r\n" + token, token[:5] + "\n" + token[5:],
		base64.RawURLEncoding.EncodeToString(append(make([]byte, macSize), "m1"...)),
		base64.RawURLEncoding.EncodeToString(make([]byte, macSize)),
		base64.RawURLEncoding.EncodeToString([]byte("' OR 1=1; DROP TABLE services; --")),
		"' OR 1=1; DROP TABLE services; --", "\x00", strings.Repeat("A", 1024),
	} {
		s.ask("GET", "/services?pageToken="+url.QueryEscape(forged), "").wantProblem(fmt.Sprintf("forged %q", forged), http.StatusBadRequest)
	}
	other := start(t)
	other.services("m1", "m2", "m3")
	other.ask("GET", "/services?pageToken="+token, "").wantProblem("the token of another server", http.StatusBadRequest)
}

func FuzzPageToken(f *testing.F) {
	p := pager{[]byte{1}}
	good := p.token("services", []string{"a", ""}, []byte("m1"))
	for _, seed := range []string{"", good, good + "=", "\n" + good, strings.ToUpper(good), "AAAAAAAAAAAAAAAAAAAAAAAA"} {
		f.Add("services", "a", "", seed)
	}
	f.Add("services", "", "a", good)
	f.Add("credentials", "a", "", good)
	f.Fuzz(func(t *testing.T, list, one, two, token string) {
		position, err := p.position(list, []string{one, two}, token)
		if err != nil || token == "" {
			return
		}
		if back := p.token(list, []string{one, two}, position); back != token {
			t.Errorf("a token that was never made is good: %q for %q", token, position)
		}
		if token == good && (list != "services" || one != "a" || two != "") {
			t.Errorf("the token of another list is good for %q %q %q", list, one, two)
		}
	})
}
