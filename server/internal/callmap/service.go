package callmap

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// settings are the members of a service.
var settings = api.ServiceMembers()

// serviceMembers are the settings as a file has them.
func serviceMembers() (all []member[Service]) {
	for _, m := range settings {
		all = append(all, member[Service]{m.File, m.Doc, shapeOf(m), func(r *reader, s *Service, n *yaml.Node) { readSetting(r, s, m, n) }})
	}
	return all
}

func shapeOf(m api.ServiceMember) shape {
	one := text(m.Example)
	if m.Values != nil {
		one = oneOf(api.NamesOf(m.Values)...)
	}
	switch m.Of(&api.ServiceSettings{}).(type) {
	case *bool:
		if m.FileWords[0] != "" {
			return oneOf(m.FileWords[:]...)
		}
		return yesOrNo
	case *[]string:
		if m.Mapping {
			return mapOf(label).matching(labelPattern)
		}
		return oneOrMore(one)
	}
	return one
}

func readSetting(r *reader, s *Service, m api.ServiceMember, n *yaml.Node) {
	if m.Name == "disabled" {
		s.keepsDisabled = false
	}
	switch to := m.Of(&s.ServiceSettings).(type) {
	case *string:
		*to = r.text(n)
	case *int64:
		*to = r.seconds(n)
	case *bool:
		if m.FileWords[0] != "" {
			*to = r.text(n) == m.FileWords[1]
		} else {
			*to = r.boolean(n)
		}
	case *[]string:
		if m.Mapping {
			*to = r.labels(n)
		} else {
			*to = sorted(r.texts(n))
		}
	}
}

// settingsText is what s says beyond its name, as a file has it.
func settingsText(s *directory.Service) (all []string) {
	for _, m := range settings {
		value := ""
		switch v := m.Of(&s.ServiceSettings).(type) {
		case *string:
			if *v != "" {
				value = quoted(*v)
			}
		case *int64:
			if *v != 0 {
				value = (time.Duration(*v) * time.Second).String()
			}
		case *bool:
			if *v {
				if value = m.FileWords[1]; value == "" {
					value = "true"
				}
			}
		case *[]string:
			switch {
			case len(*v) == 0:
			case m.Mapping:
				value = mapping(*v)
			default:
				value = flow(*v)
			}
		}
		if value != "" {
			all = append(all, m.File+": "+value)
		}
	}
	return all
}

// mapping writes "name=value" as a mapping.
func mapping(pairs []string) string {
	all := make([]string, len(pairs))
	for i, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		all[i] = quoted(name) + ": " + quoted(value)
	}
	return "{" + strings.Join(all, ", ") + "}"
}
