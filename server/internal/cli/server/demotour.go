package server

import (
	"os"
	"strings"

	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/server/internal/config"
)

// tour is what the demo prints: commands that work when they are pasted into a shell, each with the
// answer that it gets.
func tour(server string, peers map[string]string, credentials string, cfg config.Config) string {
	command := func(words ...string) string {
		program := []string{"watchword"}
		if strings.Contains(os.Args[0], "go-build") { // go run left no program behind
			program = []string{"go", "run", "./server/cmd/watchword"}
		}
		words = append(words, "--data", cfg.Data)
		if cfg.Admin.Listen != config.Default().Admin.Listen {
			words = append(words, "--admin-url", "http://"+cfg.Admin.Listen)
		}
		return shell.Command(append(program, words...)...)
	}
	return strings.NewReplacer(
		"SERVER", server, "M1", peers["m1"], "M2", peers["m2"], "M3", peers["m3"], "KEYS", shell.Quote(credentials),
		"RULES", command("rules"), "PROBE", command("probe", "--all"),
	).Replace(tourText) + "Ctrl-C ends the demo.\n"
}

const tourText = `The server is at SERVER, m1 is at M1, m2 is at M2, and m3 is at M3.
m1 and m2 may call m1 and m2. m3 may call m1. Paste these commands into another terminal.

# m1 gets a token for m2 and calls it:            Hello to m1 from m2!
curl -sd '{"target":"m2"}' -H 'Content-Type: application/json' M1/query -w ' %{http_code}\n'

# m3 may not call m2:                             401
curl -sd '{"target":"m2"}' -H 'Content-Type: application/json' M3/query -w ' %{http_code}\n'

# The token that m1 gets:
curl -K KEYS/m1.curl -d '{"target":"m2"}' SERVER/accesstoken

# A replay. m2 keeps the token that m1 sent to it:
curl -K KEYS/m1.curl -d '{"target":"m2"}' SERVER/accesstoken |
  cut -d'"' -f4 | sed 's/^/Authorization: Bearer /' > KEYS/stolen
# m2, for which it was issued, accepts it:        Hello to m1 from m2!
curl -sH @KEYS/stolen M2/hello -w ' %{http_code}\n'
# m3 refuses it:                                  401
curl -sH @KEYS/stolen M3/hello -w ' %{http_code}\n'
# m2 cannot request a token with it:              401
curl -sH @KEYS/stolen -H 'Content-Type: application/json' -d '{"target":"m1"}' SERVER/accesstoken -w '%{http_code}\n'
# m2 refuses the long-lived credential of m1:     401
curl -K KEYS/m1.curl M2/hello -w ' %{http_code}\n'

# The rules of the server:
RULES
# The services are tested with tokens that they must refuse:
PROBE
`
