package spelling

import "testing"

func TestTheMostLikelyWordIsSuggested(t *testing.T) {
	known := []string{"from", "to", "scopes", "exchange", "until", "listen", "listen.tls"}
	for word, want := range map[string]string{
		"scope": "scopes", "scoeps": "scopes", "unntil": "until", "form": "from", "Listen": "listen", "listn": "listen", "t": "to", "tx": "to", "listen.tsl": "listen.tls",
		"xyz": "", "": "", "colour": "", "exclude": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
