package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/watchword-dev/watchword/server/internal/spelling"
)

// ConfigEnv names the configuration file where no flag does.
const ConfigEnv = "WATCHWORD_CONFIG"

// clientEnv are variables that are not about the server, but that its environment may have.
var clientEnv = []string{ConfigEnv, "WATCHWORD_ADMIN_URL", "WATCHWORD_URL", "WATCHWORD_CREDENTIAL_FILE", "WATCHWORD_TOKEN_FILE", "WATCHWORD_AUDIENCE", "WATCHWORD_CLIENT_ID"}

// Sources is where Load reads. The zero value is defaults only.
type Sources struct {
	// File is the name of the YAML file. Empty: none.
	File string
	// Environ is as of os.Environ. Of it only WATCHWORD_* counts. An empty variable is unset:
	// that is what compose files make of one that is not given.
	Environ []string
	// Flags given, by name without dashes.
	Flags map[string]string
}

// Loaded is a Config and where each of its values came from.
type Loaded struct {
	Config  Config
	sources map[string]string
}

// Value is one setting as it is in force.
type Value struct {
	Setting Setting
	Text    string // redacted when it is secret
	Source  string // "default", file:line, variable or flag
}

// Values lists all settings in the order of the table.
func (l *Loaded) Values() []Value {
	var values []Value
	for _, s := range Settings() {
		values = append(values, Value{s, s.field(&l.Config).text(), l.sources[s.Key]})
	}
	return values
}

// Load reads all sources. Its error is an *Error with every problem there is; the Loaded is
// then what could be read.
func Load(from Sources) (*Loaded, error) {
	r := loader{Loaded: &Loaded{sources: map[string]string{}}}
	layers := []map[string]entry{r.file(from.File), r.environment(from.Environ), r.flags(from.Flags)}
	for _, s := range Settings() {
		r.setting(s, layers)
	}
	r.defaults()
	r.problems = append(r.problems, r.check()...)
	if len(r.problems) > 0 {
		return r.Loaded, &Error{r.problems}
	}
	return r.Loaded, nil
}

type loader struct {
	*Loaded
	problems []Problem
}

func (r *loader) problem(key, source, text, fix string) {
	r.problems = append(r.problems, Problem{key, source, text, fix})
}

// setting takes the value of s from the last layer that has one.
func (r *loader) setting(s Setting, layers []map[string]entry) {
	for _, layer := range slices.Backward(layers) {
		e, given := layer[s.Key]
		file, fileGiven := layer[s.FileKey]
		switch {
		case s.Secret && given && fileGiven:
			r.problem(s.Key, e.source, "is set, and so is "+file.source, "remove one of the two")
		case s.Secret && fileGiven:
			r.secretFile(s, file)
		case given:
			r.set(s, e)
		default:
			continue
		}
		return
	}
}

func (r *loader) set(s Setting, e entry) {
	r.sources[s.Key] = e.source
	if err := s.field(&r.Config).set(e.text); err != nil {
		r.problem(s.Key, e.source, err.Error(), "")
	}
}

func (r *loader) secretFile(s Setting, e entry) {
	data, err := readLimited(e.text)
	if err != nil {
		r.sources[s.Key] = e.source
		r.problem(s.FileKey, e.source, err.Error(), "name a file this user can read")
		return
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		r.problem(s.FileKey, e.source, e.text+" is empty", "put the value into it")
	}
	r.set(s, entry{text, e.source})
}

// defaults fills in what no layer set.
func (r *loader) defaults() {
	for _, s := range Settings() {
		if r.sources[s.Key] != "" {
			continue
		}
		r.sources[s.Key] = "default"
		text := s.Default
		if s.derive != nil {
			text = s.derive(&r.Config)
		}
		// data comes before what is below it in the table.
		text = strings.Replace(text, "<data>", strings.TrimRight(r.Config.Data, "/"), 1)
		if s.Default == "" {
			continue
		}
		if err := s.field(&r.Config).set(text); err != nil {
			r.problem(s.Key, "default", err.Error(), "")
		}
	}
}

func (r *loader) file(name string) map[string]entry {
	if name == "" {
		return nil
	}
	data, err := readLimited(name)
	if err != nil {
		r.problem("", "", err.Error(), "name a file that is there with --config, or leave it out")
		return nil
	}
	entries, problems := parseYAML(name, data)
	r.problems = append(r.problems, problems...)
	return entries
}

func (r *loader) environment(environ []string) map[string]entry {
	keys := map[string]string{}
	for _, s := range Settings() {
		keys[s.Env] = s.Key
		if s.Secret {
			keys[s.FileEnv] = s.FileKey
		}
	}
	names := append(slices.Sorted(maps.Keys(keys)), clientEnv...)
	entries := map[string]entry{}
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "WATCHWORD_") || text == "" {
			continue
		}
		if key, ok := keys[name]; ok {
			entries[key] = entry{text, name}
		} else if !slices.Contains(names, name) && !injected(name, text) {
			fix := "unset it"
			if near := spelling.Nearest(name, names); near != "" {
				fix = "did you mean " + near + "?"
			}
			r.problem("", name, "is not a variable Watchword knows", fix)
		}
	}
	return entries
}

var injectedName = regexp.MustCompile(`^WATCHWORD_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// injected reports whether Kubernetes put the variable there: it does for every Service in the
// namespace, and that in front of this server is likely named watchword.
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
func injected(name, text string) bool {
	return injectedName.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(text, "://")
}

func (r *loader) flags(given map[string]string) map[string]entry {
	entries := map[string]entry{}
	for _, s := range Settings() {
		if text, ok := given[s.Flag]; ok && s.Flag != "" {
			if s.Secret && hasPassword(text) {
				r.problem(s.Key, "--"+s.Flag, "has a password, and every user of this machine can read the arguments of a process",
					fmt.Sprintf("set %s, or put the URL into a file and name it with --%s", s.Env, s.FileFlag))
				continue
			}
			entries[s.Key] = entry{text, "--" + s.Flag}
		}
		if text, ok := given[s.FileFlag]; ok && s.Secret {
			entries[s.FileKey] = entry{text, "--" + s.FileFlag}
		}
	}
	return entries
}
