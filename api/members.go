package api

import "slices"

// ServiceSettings are the settings of a service. ServiceMembers has a row for each, which describes it.
type ServiceSettings struct {
	Description           string   `json:"description"`
	Owner                 string   `json:"owner"`
	Labels                []string `json:"labels" nullable:"false"`
	Audiences             []string `json:"audiences" nullable:"false"`
	TokenTTLSeconds       int64    `json:"tokenTtlSeconds"`
	Algorithm             string   `json:"algorithm"`
	AuthMethods           []string `json:"authMethods" nullable:"false"`
	GrantTypes            []string `json:"grantTypes" nullable:"false"`
	Binding               string   `json:"binding"`
	TokenEndpointAudience bool     `json:"tokenEndpointAudience"`
	MultipleTargets       bool     `json:"multipleTargets"`
	DefaultTarget         string   `json:"defaultTarget"`
	Observe               bool     `json:"observe"`
	Probe                 string   `json:"probe"`
	Disabled              bool     `json:"disabled"`
}

// ServicePatch changes the settings that are not nil. The others remain. A list is replaced as a whole.
type ServicePatch struct {
	Description           *string   `json:"description,omitempty"`
	Owner                 *string   `json:"owner,omitempty"`
	Labels                *[]string `json:"labels,omitempty"`
	Audiences             *[]string `json:"audiences,omitempty"`
	TokenTTLSeconds       *int64    `json:"tokenTtlSeconds,omitempty"`
	Algorithm             *string   `json:"algorithm,omitempty"`
	AuthMethods           *[]string `json:"authMethods,omitempty"`
	GrantTypes            *[]string `json:"grantTypes,omitempty"`
	Binding               *string   `json:"binding,omitempty"`
	TokenEndpointAudience *bool     `json:"tokenEndpointAudience,omitempty"`
	MultipleTargets       *bool     `json:"multipleTargets,omitempty"`
	DefaultTarget         *string   `json:"defaultTarget,omitempty"`
	Observe               *bool     `json:"observe,omitempty"`
	Probe                 *string   `json:"probe,omitempty"`
	Disabled              *bool     `json:"disabled,omitempty"`
}

// ServiceMember is one setting of a service. The OpenAPI document, call map files with their schema and their plans,
// the flags of "service create" and "service update", and the output of "service show" are made from its row.
type ServiceMember struct {
	Name  string // in JSON
	File  string // in call map files
	Flag  string // of the command line, without dashes; empty: it has commands of its own
	Value string // what help texts call the value of the flag; empty: it has none
	Label string // for people

	Doc     string // what it means, and what the default is
	Example string // as the command line takes it
	Values  []Name // that it may have; nil: any
	Max     int    // bytes of a text, or entries of a list; 0: the server has another limit

	Empty     string    // what people read if it is empty; empty: nothing
	Words     [2]string // what people read for a boolean that is false, or true; empty: nothing
	FileWords [2]string // what files have for such a boolean; empty: false and true
	Mapping   bool      // files have a mapping instead of a list of name=value

	// Of returns a pointer to the setting: a *string, *bool, *int64 (seconds) or *[]string.
	Of func(*ServiceSettings) any
	// In returns a pointer to its change, which is such a pointer.
	In func(*ServicePatch) any
}

// ServiceMembers returns all settings of a service, in the order in which files and people have them.
func ServiceMembers() []ServiceMember { return slices.Clone(serviceMembers) }

var serviceMembers = []ServiceMember{
	{
		Name: "description", File: "description", Flag: "description", Value: "text", Label: "description", Example: "takes orders", Max: 1024,
		Doc: "What the service does.",
		Of:  func(s *ServiceSettings) any { return &s.Description }, In: func(p *ServicePatch) any { return &p.Description },
	}, {
		Name: "owner", File: "owner", Flag: "owner", Value: "text", Label: "owner", Example: "orders@example.com", Max: 128,
		Doc: "The person or team to ask about the service.",
		Of:  func(s *ServiceSettings) any { return &s.Owner }, In: func(p *ServicePatch) any { return &p.Owner },
	}, {
		Name: "labels", File: "labels", Flag: "label", Value: "name=value", Label: "labels", Example: "team=web", Max: 32, Mapping: true,
		Doc: "Labels, by which groups of a call map file select services.",
		Of:  func(s *ServiceSettings) any { return &s.Labels }, In: func(p *ServicePatch) any { return &p.Labels },
	}, {
		Name: "audiences", File: "audiences", Flag: "audience", Value: "URI", Label: "audiences", Example: "https://orders.example.com", Max: 16,
		Doc: "Absolute URIs that identify the service in requests and tokens (RFC 8707), in addition to its name. Each can belong to one service only.",
		Of:  func(s *ServiceSettings) any { return &s.Audiences }, In: func(p *ServicePatch) any { return &p.Audiences },
	}, {
		Name: "tokenTtlSeconds", File: "token-life", Flag: "token-ttl", Value: "lifetime", Label: "token ttl", Example: "15m", Empty: "default",
		Doc: "The lifetime of tokens for this service. The default is the setting token.ttl.",
		Of:  func(s *ServiceSettings) any { return &s.TokenTTLSeconds }, In: func(p *ServicePatch) any { return &p.TokenTTLSeconds },
	}, {
		Name: "algorithm", File: "algorithm", Flag: "algorithm", Value: "algorithm", Label: "algorithm", Example: "ES256", Values: Algorithms(), Empty: "default",
		Doc: "The algorithm that signs tokens for this service. The default is the setting signing.algorithm.",
		Of:  func(s *ServiceSettings) any { return &s.Algorithm }, In: func(p *ServicePatch) any { return &p.Algorithm },
	}, {
		Name: "authMethods", File: "auth", Flag: "auth-method", Value: "method", Label: "authenticates by", Example: PrivateKeyJWT, Values: AuthMethods(), Max: 16, Empty: "any",
		Doc: "The authentication methods that the service may use. The default is all of them.",
		Of:  func(s *ServiceSettings) any { return &s.AuthMethods }, In: func(p *ServicePatch) any { return &p.AuthMethods },
	}, {
		Name: "grantTypes", File: "grants", Flag: "grant", Value: "grant", Label: "grants", Example: GrantClientCredentials, Values: GrantTypes(), Max: 16, Empty: "any",
		Doc: "The OAuth grants that the service may use. The default is all of them.",
		Of:  func(s *ServiceSettings) any { return &s.GrantTypes }, In: func(p *ServicePatch) any { return &p.GrantTypes },
	}, {
		Name: "binding", File: "binding", Flag: "binding", Value: "binding", Label: "binding", Example: BindingDPoP, Values: Bindings(), Empty: "optional",
		Doc: "How the tokens that the service gets must be bound to a key of the service. The default is that they need not be bound.",
		Of:  func(s *ServiceSettings) any { return &s.Binding }, In: func(p *ServicePatch) any { return &p.Binding },
	}, {
		Name: "tokenEndpointAudience", File: "token-endpoint-audience", Flag: "token-endpoint-audience", Label: "assertions",
		Doc:   "The audience (aud) of client assertions may also be the URL of the token endpoint, as older client libraries write it, and not only the issuer URL.",
		Words: [2]string{"", "may name the token endpoint as their audience"},
		Of:    func(s *ServiceSettings) any { return &s.TokenEndpointAudience }, In: func(p *ServicePatch) any { return &p.TokenEndpointAudience },
	}, {
		Name: "multipleTargets", File: "multiple-targets", Flag: "multiple-targets", Label: "targets per token",
		Doc:   "The service may request one token for several targets.",
		Words: [2]string{"", "several"},
		Of:    func(s *ServiceSettings) any { return &s.MultipleTargets }, In: func(p *ServicePatch) any { return &p.MultipleTargets },
	}, {
		Name: "defaultTarget", File: "default-target", Flag: "default-target", Value: "service", Label: "default target", Example: "m2", Max: 1024,
		Doc: "The target of tokens if a request of the service to the OAuth token endpoint names none. The default is that such a request is refused.",
		Of:  func(s *ServiceSettings) any { return &s.DefaultTarget }, In: func(p *ServicePatch) any { return &p.DefaultTarget },
	}, {
		Name: "observe", File: "enforce", Flag: "observe", Label: "enforces", FileWords: [2]string{"enforce", "observe"},
		Doc:   "Every service gets a token for this service, and calls that no rule allows are only recorded (observe). The default is that such calls are refused (enforce).",
		Words: [2]string{"", "nothing: it only observes, and any service gets a token for it"},
		Of:    func(s *ServiceSettings) any { return &s.Observe }, In: func(p *ServicePatch) any { return &p.Observe },
	}, {
		Name: "probe", File: "probe", Flag: "probe", Value: "URL", Label: "probe", Example: "https://orders.example.com/hello", Max: 1024,
		Doc: "A URL of the service that requires a token. \"watchword probe\" sends its requests there.",
		Of:  func(s *ServiceSettings) any { return &s.Probe }, In: func(p *ServicePatch) any { return &p.Probe },
	}, {
		Name: "disabled", File: "disabled", Label: "status",
		Doc:   "The service is disabled: it gets no tokens, and no tokens are issued for it.",
		Words: [2]string{"enabled", "disabled"},
		Of:    func(s *ServiceSettings) any { return &s.Disabled }, In: func(p *ServicePatch) any { return &p.Disabled },
	},
}

// Given returns the value that p gives the setting: a string, bool, int64 or []string, or nil if p does not change it.
func (m ServiceMember) Given(p *ServicePatch) any {
	switch change := m.In(p).(type) {
	case **string:
		return valueOf(*change)
	case **bool:
		return valueOf(*change)
	case **int64:
		return valueOf(*change)
	case **[]string:
		return valueOf(*change)
	}
	return nil
}

func valueOf[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// Apply makes the changes of p to s.
func (p ServicePatch) Apply(s *ServiceSettings) {
	for _, m := range serviceMembers {
		switch value := m.Given(&p).(type) {
		case string:
			*m.Of(s).(*string) = value
		case bool:
			*m.Of(s).(*bool) = value
		case int64:
			*m.Of(s).(*int64) = value
		case []string:
			*m.Of(s).(*[]string) = value
		}
	}
}
