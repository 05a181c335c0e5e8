package service

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/issuer"
)

// grantNames are the short names of grant types, for people.
var grantNames = map[string]string{
	"client_credentials": issuer.ClientCredentials,
	"token-exchange":     issuer.TokenExchange,
	"jwt-bearer":         issuer.JWTBearer,
}

// AuthMethods are all ways in which a service can prove itself.
var AuthMethods = []string{
	clientauth.ClientSecretBasic, clientauth.ClientSecretPost, clientauth.PrivateKeyJWT,
	clientauth.TLSClientAuth, clientauth.SelfSignedTLSClientAuth, clientauth.Bootstrap,
}

// serviceFlags say what a service is to be.
type serviceFlags struct {
	description, ttl, algorithm, binding string
	audiences, methods, grants           []string
	owner, probe, defaultTarget          string
	labels                               []string
	tokenEndpoint, multiple, observe     bool
}

func (f *serviceFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.description, "description", "", "what it is, for people")
	flags.StringVar(&f.ttl, "token-ttl", "", "lifetime of tokens for this service as a target, as in 5m; 0: the server's default")
	flags.StringVar(&f.algorithm, "algorithm", "", "algorithm that signs tokens for this service: ES256, RS256, PS256 or EdDSA; empty: the server's default")
	flags.StringArrayVar(&f.audiences, "audience", nil, "absolute URI by which it is asked for too; repeat for more")
	flags.StringArrayVar(&f.methods, "auth-method", nil, "a way in which it may prove itself, and no others: "+strings.Join(AuthMethods, ", ")+"; repeat for more")
	flags.StringArrayVar(&f.grants, "grant", nil, "a grant type it may use at the token endpoint, and no others: client_credentials, token-exchange or jwt-bearer; repeat for more")
	flags.StringVar(&f.binding, "binding", "", "how the tokens it gets must be bound to a key of its own: required, dpop or mtls; empty: as it asks")
	flags.BoolVar(&f.tokenEndpoint, "token-endpoint-audience", false, "take client assertions that name the token endpoint as their audience too, for older clients")
	flags.BoolVar(&f.multiple, "multiple-targets", false, "let it ask for one token that is good for several services")
	flags.StringVar(&f.owner, "owner", "", "who answers for it")
	flags.StringArrayVar(&f.labels, "label", nil, "what it is, as team=web; repeat for more")
	flags.BoolVar(&f.observe, "observe", false, "allow calls to it that no rule allows, and record them")
	flags.StringVar(&f.probe, "probe", "", "URL that is sent tokens it must refuse, to see whether it does")
	flags.StringVar(&f.defaultTarget, "default-target", "", "whom its tokens are for when it asks without saying so")
}

// check reads what of the flags the server would not understand.
func (f *serviceFlags) check(cmd *cobra.Command) error {
	for _, list := range []*[]string{&f.audiences, &f.methods, &f.grants, &f.labels} {
		*list = slices.DeleteFunc(*list, func(s string) bool { return s == "" })
		if *list == nil {
			*list = []string{}
		}
	}
	for _, m := range f.methods {
		if !slices.Contains(AuthMethods, m) {
			return base.Usage(cmd, "--auth-method: %q is not one of %s", m, strings.Join(AuthMethods, ", "))
		}
	}
	for i, g := range f.grants {
		long, ok := grantNames[g]
		switch {
		case ok:
			f.grants[i] = long
		case g != issuer.TokenExchange && g != issuer.JWTBearer:
			return base.Usage(cmd, "--grant: %q is not one of client_credentials, token-exchange, jwt-bearer", g)
		}
	}
	return nil
}

func (f *serviceFlags) service(cmd *cobra.Command, name string) (s api.NewService, err error) {
	if err := f.check(cmd); err != nil {
		return s, err
	}
	s = api.NewService{
		Name: name, Description: f.description, Algorithm: f.algorithm,
		Audiences: f.audiences, AuthMethods: f.methods, GrantTypes: f.grants, Binding: f.binding,
		TokenEndpointAudience: f.tokenEndpoint, MultipleTargets: f.multiple,
		Owner: f.owner, Labels: f.labels, Observe: f.observe, Probe: f.probe, DefaultTarget: f.defaultTarget,
	}
	if f.ttl != "" {
		s.TokenTTLSeconds, err = base.Seconds(cmd, "--token-ttl", f.ttl)
	}
	return s, err
}

// change has what was given, and nothing else.
func (f *serviceFlags) change(cmd *cobra.Command) (change api.ServicePatch, err error) {
	if err := f.check(cmd); err != nil {
		return change, err
	}
	var ttl int64
	if f.ttl != "" {
		if ttl, err = base.Seconds(cmd, "--token-ttl", f.ttl); err != nil {
			return change, err
		}
	}
	given := cmd.Flags().Changed
	setIf(given("description"), &change.Description, &f.description)
	setIf(given("token-ttl"), &change.TokenTTLSeconds, &ttl)
	setIf(given("algorithm"), &change.Algorithm, &f.algorithm)
	setIf(given("audience"), &change.Audiences, &f.audiences)
	setIf(given("auth-method"), &change.AuthMethods, &f.methods)
	setIf(given("grant"), &change.GrantTypes, &f.grants)
	setIf(given("binding"), &change.Binding, &f.binding)
	setIf(given("token-endpoint-audience"), &change.TokenEndpointAudience, &f.tokenEndpoint)
	setIf(given("multiple-targets"), &change.MultipleTargets, &f.multiple)
	setIf(given("owner"), &change.Owner, &f.owner)
	setIf(given("label"), &change.Labels, &f.labels)
	setIf(given("observe"), &change.Observe, &f.observe)
	setIf(given("probe"), &change.Probe, &f.probe)
	setIf(given("default-target"), &change.DefaultTarget, &f.defaultTarget)
	if change == (api.ServicePatch{}) {
		return change, base.Usage(cmd, "nothing to change: give one of the flags that --help lists")
	}
	return change, nil
}

func setIf[T any](given bool, to **T, from *T) {
	if given {
		*to = from
	}
}

// What a service may do, for people.

func orAny(names []string) string {
	if len(names) == 0 {
		return "any"
	}
	return strings.Join(names, " ")
}

func bindingOf(s api.Service) string {
	switch s.Binding {
	case "":
		return "optional"
	case "required":
		return "required, by DPoP or mTLS"
	}
	return "required, by " + map[string]string{"dpop": "DPoP", "mtls": "mTLS"}[s.Binding]
}

func assertionsOf(s api.Service) string {
	if s.TokenEndpointAudience {
		return "may name the token endpoint as their audience"
	}
	return ""
}
