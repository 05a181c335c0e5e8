package callmap

import (
	"bytes"
	"encoding/json"
)

//go:generate sh -c "go run ../../cmd/watchword callmap schema > ../../../docs/callmap.schema.json"

// SchemaURL is where editors find the schema, and its identity.
const SchemaURL = "https://raw.githubusercontent.com/watchword-dev/watchword/main/docs/callmap.schema.json"

// Schema is the JSON Schema (draft 2020-12) of a call map file, for editors. It says of each
// value what it looks like; which services there are, and whether owners are in each other's way,
// only a plan can say.
func Schema() []byte {
	s := schemaOf(fileObject.shape())
	root := append(fields{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", SchemaURL},
		{"title", "Watchword call map"},
		{"description", "The trusts, the services, the rules that allow calls, and tests."},
	}, s...)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		panic(err) // texts, lists and booleans
	}
	return b.Bytes()
}

// fields is a JSON object that keeps its order, which people read.
type fields []field

type field struct {
	name  string
	value any
}

// MarshalJSON writes the fields in order.
func (f fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, x := range f {
		value, err := json.Marshal(x.value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(jsonText(x.name) + ":")
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func schemaOf(s shape) fields {
	switch s.kind {
	case isObject:
		return s.orItsList(s.objectSchema())
	case isMap:
		f := fields{{"type", "object"}}
		if s.pattern != "" {
			f = append(f, field{"propertyNames", fields{{"pattern", s.pattern}}})
		}
		return append(f, field{"additionalProperties", schemaOf(*s.item)})
	case isList:
		list := fields{{"type", "array"}, {"items", schemaOf(*s.item)}}
		if s.single {
			return fields{{"oneOf", []fields{schemaOf(*s.item), list}}}
		}
		return list
	case isBoolean:
		return fields{{"type", "boolean"}}
	case isNumber:
		return fields{{"const", 1}}
	}
	// 010 and true are texts too where a text is meant: YAML's types are not looked at there.
	f := fields{{"type", []string{"string", "number", "boolean"}}}
	if s.enum != nil {
		f = fields{{"enum", s.enum}}
	}
	if s.pattern != "" {
		f = append(f, field{"pattern", s.pattern})
	}
	if len(s.examples) > 0 {
		f = append(f, field{"examples", s.examples})
	}
	return f
}

func (s shape) objectSchema() fields {
	properties := fields{}
	for _, m := range s.members {
		properties = append(properties, field{m.name, append(fields{{"description", m.doc}}, schemaOf(m.shape)...)})
	}
	f := fields{{"type", "object"}}
	if s.empty {
		f = fields{{"type", []string{"object", "null"}}}
	}
	f = append(f, field{"additionalProperties", false}, field{"properties", properties})
	if len(s.required) > 0 {
		f = append(f, field{"required", s.required})
	}
	if len(s.either) > 0 {
		var one []fields
		for _, name := range s.either {
			one = append(one, fields{{"required", []string{name}}})
		}
		f = append(f, field{"oneOf", one})
	}
	return f
}

func (s shape) orItsList(object fields) fields {
	if s.orList == nil {
		return object
	}
	return fields{{"oneOf", append([]fields{object}, schemaOf(*s.orList)[0].value.([]fields)...)}}
}
