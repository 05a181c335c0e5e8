package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is a field of a Config as text. An error of set says what is wrong with the text and
// what to write instead; that of a secret never repeats it.
type value interface {
	set(text string) error
	// text is what an operator may see; a secret is redacted.
	text() string
}

// str is a text that check accepts.
type str struct {
	to    *string
	check func(string) error
}

func (v str) set(s string) error {
	if v.check != nil {
		if err := v.check(s); err != nil {
			return err
		}
	}
	*v.to = s
	return nil
}
func (v str) text() string { return *v.to }

// list is texts that check accepts, separated by commas.
type list struct {
	to    *[]string
	check func(string) error
}

func (v list) set(s string) error {
	items, err := split(s, v.check)
	if err == nil {
		*v.to = items
	}
	return err
}
func (v list) text() string { return strings.Join(*v.to, ",") }

func split(s string, check func(string) error) ([]string, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	items := strings.Split(s, ",")
	for i, item := range items {
		items[i] = strings.TrimSpace(item)
		if items[i] == "" {
			return nil, errors.New("has an empty item: write one comma between two items")
		}
		if err := check(items[i]); err != nil {
			return nil, err
		}
	}
	return items, nil
}

type boolean struct{ to *bool }

func (v boolean) set(s string) error {
	if s != "true" && s != "false" {
		return fmt.Errorf("%q is neither true nor false", s)
	}
	*v.to = s == "true"
	return nil
}
func (v boolean) text() string { return strconv.FormatBool(*v.to) }

// count is a whole number between two bounds.
type count struct {
	to          *int
	least, most int
}

func (v count) set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < v.least || n > v.most {
		return fmt.Errorf("must be a whole number from %d to %d", v.least, v.most)
	}
	*v.to = n
	return nil
}

func (v count) text() string { return strconv.Itoa(*v.to) }

// networks is a list of networks in CIDR notation.
type networks struct{ to *[]netip.Prefix }

func (v networks) set(s string) error {
	words, err := split(s, func(w string) error {
		if p, err := netip.ParsePrefix(w); err != nil || p != p.Masked() {
			return fmt.Errorf("%q is not a network such as 10.0.0.0/8", w)
		}
		return nil
	})
	if err != nil {
		return err
	}
	*v.to = nil
	for _, w := range words {
		*v.to = append(*v.to, netip.MustParsePrefix(w))
	}
	return nil
}

func (v networks) text() string {
	var words []string
	for _, p := range *v.to {
		words = append(words, p.String())
	}
	return strings.Join(words, ",")
}

// duration is from least to most. Zero is valid too where off describes what it means.
type duration struct {
	to          *time.Duration
	least, most time.Duration
	off         bool
}

func (v duration) set(s string) error {
	d, err := ParseDuration(s)
	switch {
	case err != nil:
		return err
	case d == 0 && v.off, v.least <= d && d <= v.most:
		*v.to = d
		return nil
	case v.off:
		return fmt.Errorf("%s is out of range: choose from %s to %s, or 0", s, FormatDuration(v.least), FormatDuration(v.most))
	default:
		return fmt.Errorf("%s is out of range: choose from %s to %s", s, FormatDuration(v.least), FormatDuration(v.most))
	}
}
func (v duration) text() string { return FormatDuration(*v.to) }

// size is a number of bytes.
type size struct {
	to          *int64
	least, most int64
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func (v size) set(s string) error {
	for _, u := range sizeUnits {
		number, found := strings.CutSuffix(s, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 {
			break
		}
		if n > v.most/u.bytes || n*u.bytes < v.least {
			return fmt.Errorf("%s is out of range: choose from %s to %s", s, formatSize(v.least), formatSize(v.most))
		}
		*v.to = n * u.bytes
		return nil
	}
	return fmt.Errorf("%q is not a size: write a whole number and a unit, as in 512KiB, 64MiB or 1GiB", s)
}
func (v size) text() string { return formatSize(*v.to) }

func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "" // not reached: every number is whole bytes
}

type level struct{ to *slog.Level }

var levels = []string{"debug", "info", "warn", "error"}

func (v level) set(s string) error {
	if err := oneOf(levels...)(s); err != nil {
		return err
	}
	return v.to.UnmarshalText([]byte(s))
}
func (v level) text() string { return strings.ToLower(v.to.String()) }

// database is a PostgreSQL URL, whose password alone is secret.
type database struct{ to *Secret }

func (v database) set(s string) error {
	if s != "" {
		if err := checkDatabase(s); err != nil {
			return err
		}
	}
	*v.to = NewSecret(s)
	return nil
}

func checkDatabase(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" {
		return errors.New("is not a PostgreSQL URL: write postgres://user@host:5432/name, or leave it empty for SQLite in the data folder")
	}
	return nil
}

func (v database) text() string {
	if v.to.IsZero() {
		return ""
	}
	u, err := url.Parse(v.to.Reveal())
	if err != nil {
		return redacted
	}
	q := u.Query()
	for k := range q {
		if isPassword(k) {
			q.Set(k, "xxxxx")
		}
	}
	u.RawQuery = q.Encode()
	return u.Redacted()
}

// hasPassword reports whether a database URL holds a password, in any of the places libpq takes
// one from.
func hasPassword(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return true // cannot tell
	}
	if _, ok := u.User.Password(); ok {
		return true
	}
	for k := range u.Query() {
		if isPassword(k) {
			return true
		}
	}
	return false
}

func isPassword(parameter string) bool {
	return strings.Contains(strings.ToLower(parameter), "password")
}

// apiKeys are the keys of the SuperTokens interface.
type apiKeys struct{ to *[]Secret }

func (v apiKeys) set(s string) error {
	items, err := split(s, checkAPIKey)
	if err != nil {
		return err
	}
	*v.to = nil
	for _, item := range items {
		*v.to = append(*v.to, NewSecret(item))
	}
	return nil
}

const (
	letters = "abcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)

// checkAPIKey holds the SuperTokens core's own rule for its keys, and refuses what somebody
// typed to get past it.
func checkAPIKey(s string) error {
	different := map[rune]bool{}
	for _, c := range s {
		different[c] = true
		if !strings.ContainsRune(letters+strings.ToUpper(letters)+digits+"=-", c) {
			return errors.New("has a key with a character other than A-Z, a-z, 0-9, '=' and '-': make one with: openssl rand -hex 24")
		}
	}
	if len(s) < 20 {
		return errors.New("has a key of fewer than 20 characters: make one with: openssl rand -hex 24")
	}
	if len(different) < 6 {
		return errors.New("has a key that is easy to guess: make one with: openssl rand -hex 24")
	}
	return nil
}

func (v apiKeys) text() string {
	switch n := len(*v.to); n {
	case 0:
		return ""
	case 1:
		return redacted
	default:
		return fmt.Sprintf("%s x %d", redacted, n)
	}
}

// The checks of texts.

func address(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not an address: write host:port, as in 127.0.0.1:8000", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port from 0 to 65535: write host:port, as in 127.0.0.1:8000", s)
	}
	return nil
}

// issuerURL: RFC 8414, section 2: no query and no fragment. A final slash is refused because
// issuers are compared as strings and the slash is what two configurations differ by.
func issuerURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return fmt.Errorf("%q is not an http or https URL: write it as in https://auth.example.com", s)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return errors.New("must have no user, query or fragment: write it as in https://auth.example.com")
	case strings.HasSuffix(s, "/"):
		return fmt.Errorf("%q must not end with a slash: write %s", s, strings.TrimRight(s, "/"))
	case !issuerPath.MatchString(u.EscapedPath()) || u.Path != "" && path.Clean(u.Path) != u.Path:
		return fmt.Errorf("%q has a path at which no request would arrive: write it with letters, digits and - . _ ~, as in https://auth.example.com/tenant", s)
	case strings.HasSuffix(u.Host, ":"):
		return fmt.Errorf("%q has no port after the colon", s)
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) {
		return fmt.Errorf("%q has no port from 1 to 65535", s)
	}
	return nil
}

// issuerPath has the characters that RFC 3986, section 2.3, does not reserve, which all clients and proxies leave as
// they are. Below the path are the endpoints.
var issuerPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*$`)

func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return fmt.Errorf("%q is unknown: choose one of %s", s, strings.Join(words, ", "))
	}
}

func notEmpty(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("must not be empty: give a value or leave the setting out")
	}
	return nil
}

// hostName is a name or address without port, as a Host header has it.
func hostName(s string) error {
	if s == "" || strings.ContainsAny(s, "/@ \t") || net.ParseIP(s) == nil && strings.Contains(s, ":") {
		return fmt.Errorf("%q is not a host name: write it without scheme, port and path, as in auth.example.com", s)
	}
	return nil
}

func appID(s string) error {
	if strings.ContainsFunc(s, func(c rune) bool { return !strings.ContainsRune(letters+digits+"-", c) }) {
		return fmt.Errorf("%q is not an app id: use only a-z, 0-9 and '-'", s)
	}
	return nil
}

func basePath(s string) error {
	u, err := url.Parse(s)
	if s == "" || err == nil && u.Path == s && strings.HasPrefix(s, "/") && !strings.HasSuffix(s, "/") && !strings.Contains(s, "//") {
		return nil
	}
	return fmt.Errorf("%q is not a path: write it as in /auth, with a slash in front and none behind", s)
}
