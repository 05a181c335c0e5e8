package server

import (
	"os"
	"os/exec"
	"strings"

	"github.com/watchword-dev/watchword/internal/shell"
)

// tour is what the demo prints: a script, of which people paste the commands into another terminal. Its first lines
// make the commands of the operator, also the one in the answer to m3, run as they are printed.
func tour(server, admin string, peers map[string]string, data string) string {
	return strings.NewReplacer(
		"SERVER", server, "M1", peers["m1"], "M2", peers["m2"], "M3", peers["m3"],
		"<data>", shell.Quote(data), "<admin>", shell.Quote(admin), "PROGRAM", program(), "KEYS", `"$WATCHWORD_DATA/credentials"`,
	).Replace(tourText)
}

// program returns the line that makes this program the command watchword, unless it is already: after go run or npx it
// is in no folder of PATH.
func program() string {
	own, err := os.Executable()
	if found, missing := exec.LookPath("watchword"); err != nil || missing == nil && isSameFile(found, own) {
		return ""
	}
	return "watchword() { " + shell.Quote(own) + ` "$@"; }` + "\n"
}

func isSameFile(a, b string) bool {
	first, err1 := os.Stat(a)
	second, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(first, second)
}

const tourText = `# The server is at SERVER, m1 is at M1, m2 is at M2, and m3 is at M3.
# m1 and m2 may call m1 and m2. m3 may call m1. Paste these commands into another terminal.
# Ctrl-C ends the demo.

# Where the commands find the demo:
export WATCHWORD_DATA=<data> WATCHWORD_ADMIN_URL=<admin> WATCHWORD_URL=SERVER
PROGRAM
# m1 gets a token for m2 and calls it:            Hello to m1 from m2!
curl -sd '{"target":"m2"}' -H 'Content-Type: application/json' M1/query -w ' %{http_code}\n'

# m3 may not call m2. Run the command in its answer: 401
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
watchword rules
# The services are tested with tokens that they must refuse:
watchword probe --all
`
