// Command clientcredentials gets tokens with golang.org/x/oauth2/clientcredentials. It is configured by the
// environment, and prints what it received as one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/url"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	tokens := map[string]*oauth2.Token{}
	for name, style := range map[string]oauth2.AuthStyle{
		"basic": oauth2.AuthStyleInHeader,
		"post":  oauth2.AuthStyleInParams,
		"auto":  oauth2.AuthStyleAutoDetect,
	} {
		config := clientcredentials.Config{
			ClientID:       os.Getenv("CLIENT_ID"),
			ClientSecret:   os.Getenv("CLIENT_SECRET"),
			TokenURL:       os.Getenv("ISSUER") + "/oauth2/token",
			Scopes:         []string{"read"},
			EndpointParams: url.Values{"resource": {os.Getenv("RESOURCE")}},
			AuthStyle:      style,
		}
		// config.Client(ctx) is an http.Client that sends the token, and renews it.
		token, err := config.Token(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		tokens[name] = token
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"tokens": tokens}); err != nil {
		log.Fatal(err)
	}
}
