package admin

import (
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/watchword-dev/watchword/api"
)

// lists are the names that a member with the tag names may have. A tag enum could not range over them.
var lists = map[string][]api.Name{
	"methods": api.AuthMethods(), "grants": api.GrantTypes(), "algorithms": api.Algorithms(), "kinds": api.CredentialKinds(),
	"exchanges": api.Exchanges(), "chains": api.Chains(), "uses": api.KeyUses(),
}

// fillSchemas adds to the schemas what the tables of package api say. Requests are compared with the result.
func fillSchemas(schemas huma.Registry) {
	for name, s := range schemas.Map() {
		for _, f := range reflect.VisibleFields(schemas.TypeFromRef("#/components/schemas/" + name)) {
			if list := lists[f.Tag.Get("names")]; list != nil {
				member, options, _ := strings.Cut(f.Tag.Get("json"), ",")
				s.Properties[member].Description += glossary(list)
				restrict(s.Properties[member], list, strings.Contains(options, "omitempty") && f.Tag.Get("default") == "")
			}
		}
	}
	for name, isRequest := range map[string]bool{"Service": false, "NewService": true, "ServicePatch": true} {
		for _, m := range settings {
			fillMember(schemas.Map()[name].Properties[m.Name], m, isRequest)
		}
	}
	for _, s := range schemas.Map() {
		for _, p := range s.Properties {
			p.PrecomputeMessages()
		}
	}
}

func fillMember(s *huma.Schema, m api.ServiceMember, isRequest bool) {
	s.Description = m.Doc + glossary(m.Values)
	if m.Values != nil && isRequest {
		restrict(s, m.Values, true)
	}
	limit := &m.Max
	if m.Max == 0 || !isRequest {
		limit = nil
	}
	switch m.Of(&api.ServiceSettings{}).(type) {
	case *string:
		s.Examples, s.MaxLength = []any{m.Example}, limit
	case *bool:
		s.Examples = []any{false}
	case *int64:
		d, _ := time.ParseDuration(m.Example)
		s.Examples = []any{int64(d / time.Second)}
		if isRequest {
			s.Minimum, s.Maximum = new(0.0), new(100*365.25*24*3600.0)
		}
	case *[]string:
		s.Examples, s.MaxItems = []any{[]string{m.Example}}, limit
	}
}

// glossary tells what the names of a list mean.
func glossary(list []api.Name) (text string) {
	for _, n := range list {
		if n.Doc != "" {
			text += " " + n.Name + ": " + n.Doc
		}
	}
	return text
}

// restrict leaves a text, or the entries of a list, these names and, where it can be left out, nothing.
func restrict(s *huma.Schema, list []api.Name, orEmpty bool) {
	if s.Items != nil {
		s, orEmpty = s.Items, false
		defer s.PrecomputeMessages()
	}
	s.Enum = nil
	if orEmpty {
		s.Enum = []any{""}
	}
	for _, n := range list {
		s.Enum = append(s.Enum, n.Name)
	}
}
