// Command golang makes the calls of the JWT recipe with supertokens-golang and prints what
// came back as JSON. It is a module of its own, so that the SDK stays out of the server's graph.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/supertokens/supertokens-golang/recipe/jwt"
	"github.com/supertokens/supertokens-golang/supertokens"
)

type answer struct {
	Static, Dynamic, Unlimited string
	Keys                       []string
	Error                      string
}

func main() {
	a, err := run()
	if err != nil {
		a.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() (a answer, err error) {
	telemetry := false
	err = supertokens.Init(supertokens.TypeInput{
		Supertokens: &supertokens.ConnectionInfo{ConnectionURI: os.Getenv("CORE"), APIKey: os.Getenv("API_KEY")},
		AppInfo:     supertokens.AppInfo{AppName: "interop", APIDomain: "http://localhost:8000", WebsiteDomain: "http://example.com"},
		RecipeList:  []supertokens.Recipe{jwt.Init(nil)},
		Telemetry:   &telemetry,
	})
	if err != nil {
		return a, err
	}
	hour, dynamic := uint64(3600), false
	if a.Static, err = create(&hour, nil); err != nil {
		return a, err
	}
	if a.Dynamic, err = create(&hour, &dynamic); err != nil {
		return a, err
	}
	if a.Unlimited, err = create(nil, nil); err != nil {
		return a, err
	}
	set, err := jwt.GetJWKS()
	if err != nil {
		return a, err
	}
	for _, k := range set.OK.Keys {
		a.Keys = append(a.Keys, k.Kid)
	}
	return a, nil
}

func create(validity *uint64, static *bool) (string, error) {
	payload := map[string]interface{}{"iss": "auth-server", "sub": "m1", "aud": "m2"}
	r, err := jwt.CreateJWT(payload, validity, static)
	if err != nil {
		return "", err
	}
	if r.OK == nil {
		return "", fmt.Errorf("unsupported algorithm")
	}
	return r.OK.Jwt, nil
}
