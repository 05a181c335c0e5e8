// Package limits is the table of all that one caller can make the server keep, wait for, write or compute, with the
// bounds that the code has. It is for docs/limits.md and for tests: it limits nothing itself.
package limits

//go:generate go test -run TestPageIsThatOfTheTable -update .

import (
	"fmt"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/admin"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/endpoint"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/keysets"
	"github.com/watchword-dev/watchword/server/internal/logs"
	"github.com/watchword-dev/watchword/server/internal/once"
	"github.com/watchword-dev/watchword/server/internal/revocation"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
	"github.com/watchword-dev/watchword/server/internal/usage"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// Row is one resource and its bounds.
type Row struct {
	// Resource is what is used up.
	Resource string
	// Each is the bound of one caller, and All that of all callers together. Empty: there is none of its own.
	Each, All string
	// Yields is who gives way first, and Hears what the one that is refused gets to know.
	Yields, Hears string
	// Metric is the series that shows it. Empty: nothing is kept that could be counted.
	Metric string
	// Test is the test in which somebody tries: the folder below server/internal, a dot, and its name, for a subtest with
	// a slash and its name.
	Test string
}

// Callers are the rows of one kind of caller.
type Callers struct {
	Who  string
	Note string // what is said about all of them
	Rows []Row
}

func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func size(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// rate is so many at once and then one every so often.
func rate(burst int, every time.Duration) string {
	if every < time.Second {
		return fmt.Sprintf("%s at once, then %s a second", number(burst), number(int(time.Second/every)))
	}
	if every == time.Second {
		return fmt.Sprintf("%d at once, then one a second", burst)
	}
	return fmt.Sprintf("%d at once, then one every %d s", burst, every/time.Second)
}

const (
	overloaded = "503 `temporarily_unavailable`, `Retry-After: 1`"
	shed       = "watchword_http_requests_shed_total"
)

// Table has all rows.
func Table() []Callers {
	return []Callers{
		{"Anyone who reaches the public listener", "One caller is one network: an IPv4 address, or an IPv6 /64.", anyone()},
		{"A service", "One caller is one service, wherever its requests come from. It has the bounds above too.", service()},
		{"A follower of the deny-list", "One caller is one network. Followers need no credential.", follower()},
		{"An operator", "All that have the operator token are one caller. The operators' listener has the same bounds as the public one, and counts them apart.", operator()},
		{"A client of the SuperTokens interface", "One caller is one network. The listener has the bounds of the public one.", superTokens()},
	}
}

func anyone() []Row {
	return []Row{
		{
			"open connections",
			number(web.MaxConnections/web.ConnectionsPart) + fmt.Sprintf(", or an eighth of all if these are fewer (at least %d)", web.LeastConnectionsFrom),
			number(web.MaxConnections) + ", or three quarters of the files that the process may have open; operators and SuperTokens clients " + number(web.MaxOtherConnections) + ", or a sixteenth",
			"the connection that has done nothing for longest: of the network, or of all. If requests are answered on all of them, the newest",
			"the connection is closed", "watchword_connections_closed_total", "app.TestAttacks/idle connections",
		},
		{
			"time of a connection",
			fmt.Sprintf("%s for a header, %s for a request, %s for an answer, %s between two requests", web.ReadHeaderTimeout, web.ReadTimeout, web.WriteTimeout, web.IdleTimeout), "",
			"the slow one", "the connection is closed", "watchword_connections", "app.TestListenersHaveTimeLimits",
		},
		{
			"requests on one HTTP/2 connection", number(web.MaxStreams), "", "the newest", "`REFUSED_STREAM`", "watchword_http_requests_in_flight",
			"app.TestStreamsOfAConnectionAreBounded",
		},
		{
			"headers and URL", size(web.MaxHeaderBytes) + " and " + size(web.MaxURLBytes), "", "the request", "431 or 414", "", "app.TestHugeHeadersAreRefused",
		},
		{
			"body", size(web.BodyLimit) + ", of a form " + number(endpoint.MaxParameters) + " parameters", fmt.Sprintf("%d of more than 16 KiB at once", web.MaxLong),
			"the request", "413 `invalid_request`; " + overloaded, "watchword_http_bodies_arriving", "app.TestRefusalOfALongBodyCanBeRead",
		},
		{
			"requests whose body is on its way", number(web.MaxArrivingFrom), number(web.MaxArriving),
			"the one that arrives for longest: of the network, or of all", overloaded, "watchword_http_bodies_arriving", "app.TestHTTP2BodiesThatNeverEndKeepNobodyOut",
		},
		{
			"requests worked on", "four for each processor, at least 16", number(web.DefaultInFlight),
			fmt.Sprintf("more of one network wait for their turn, for up to %s; of all, the newest", web.Patience), overloaded, shed, "app.TestAttacks/token requests without a credential",
		},
		{
			"refusals (4xx)", rate(web.RefusalBurst, web.RefusalRefill), "", "more of them are answered " + web.RefusalDelay.String() + " late, and keep their turn", "the same answer",
			"watchword_http_request_duration_seconds_count", "web.TestManyRefusalsAreAnsweredLate",
		},
		{
			"requests that wait for their turn", number(web.MaxQueuedFrom), number(web.MaxQueued), "the newest", overloaded, "watchword_http_requests_queued",
			"web.TestRequestsOfOneNetworkTakeTurns",
		},
		{
			"keys, metadata and status lists, sent at once", "two for each processor", "as requests worked on", "more wait for their turn, for up to " + web.Patience.String(), overloaded,
			shed, "app.TestAnswersThatNobodyReadsKeepNobodyOut",
		},
		{
			"signatures for status lists", "none for a list that no token names; else one every 15 s", number(revocation.MaxSignedLists) + " lists in memory", "all lists in memory",
			"nothing: the list is signed again", "watchword_http_request_duration_seconds_count", "app.TestAttacks/status lists that are made up",
		},
		{
			"records of refusals in the audit log", rate(audit.NetworkBurst, audit.NetworkRefill), rate(audit.OverallBurst, audit.OverallRefill) + "; none while less than " + size(audit.Reserve) + " (10 % of a smaller disk) is free",
			"the newest: it is counted, and the counts are recorded once a minute for " + number(audit.MaxSummaries) + " networks", "the same answer without `Watchword-Decision`", "watchword_audit_counted_total",
			"app.TestAFloodOfRequestsWithoutAnIdentityFillsNoDisk",
		},
		{
			"wrong client secrets", rate(clientauth.GuessBurst, clientauth.GuessRefill) + ", for each client and network", number(clientauth.MaxGuessers) + " of them are counted apart",
			"all secrets of the client from that network, but for one that was right there before", "429 `temporarily_unavailable`, `Retry-After`", "watchword_decisions_total",
			"clientauth.TestGuessingIsHeldBackForTheClientAndItsAddressOnly",
		},
		{
			"requests that wait for keys of services and trusts", number(keysets.MaxWaitingForOne) + " for one service or trust", number(keysets.MaxWaitingForAll) + " for services, and as many for trusts",
			"the newest: it is checked with the keys at hand, if there are any", "503 `temporarily_unavailable`", "watchword_client_keys_waiting", "app.TestAttacks/assertions for a service whose keys are slow",
		},
		{
			"fetches from a `jwks_uri`", fmt.Sprintf("one at once and address, one every %s, of %s", keysets.ClientRetry, size(keysets.ClientLimit)), "",
			"more wait for the one", "nothing", "watchword_client_keys_waiting", "clientauth.TestManyAtOnceFetchOnce",
		},
		{
			"fetches of the keys of a trust",
			fmt.Sprintf("one at once for a trust, and one every %s, failed ones too, of %s and %s with the discovery document", keysets.Refetch, size(keysets.PlatformLimit), keysets.PlatformTimeout), "",
			"more wait for the one", "nothing: the keys from before are used, for up to " + fmt.Sprintf("%d h", keysets.Stale/time.Hour), "watchword_client_keys_waiting", "app.TestAttacks/tokens of a platform with random keys",
		},
		{
			"keys of trusts that are kept", size(keysets.PlatformLimit) + " of each trust, and " + number(jose.MaxKeys) + " keys", number(keysets.MaxPlatforms) + " trusts, with those that were removed",
			"those that were not used for longest; after a day without a fetch, all", "nothing: they are fetched again", "go_memstats_heap_alloc_bytes", "keysets.TestWhatIsRememberedIsBounded",
		},
		{
			"signatures checked for one assertion", number(keysets.MaxKeysTried), "", "the assertion", "401 `invalid_client`", "watchword_decisions_total", "clientauth.TestAssertionNeedNotNameItsKey",
		},
		{
			"verifications of the chain of a client certificate", fmt.Sprintf("one at a time, with %d intermediate certificates; each chain once a minute", clientauth.MaxIntermediates), "",
			"more wait for the one", "nothing", "watchword_decisions_total", "clientauth.TestNetworksTakeTurnsWithTheirChains",
		},
		{
			"what is remembered of proofs, keys and addresses", "", "2 x " + number(clientauth.RecentMost) + " entries of each kind", "the older half, which is found out again", "nothing", "go_memstats_heap_alloc_bytes",
			"clientauth.TestRecentIsBounded",
		},
		{
			"lines of the server's log", "one a second about a 503; decisions are in the audit log", size(logs.MaxPending) + " that wait to be written", "the newest", "nothing", "watchword_log_lines_dropped_total",
			"app.TestAttacks/requests beyond all bounds",
		},
	}
}

func service() []Row {
	return []Row{
		{
			"token requests", "as requests worked on", "as requests worked on", "as requests worked on", overloaded, shed, "app.TestAttacks/token requests of a service",
		},
		{
			"the last room on the audit log's disk, " + size(audit.Reserve) + " (10 % of a smaller disk)", rate(audit.ShareBurst, audit.ShareRefill) + " records", "",
			"the service that asks most", overloaded, "watchword_audit_held_back_total", "audit.TestServicesShareTheLastRoomOnTheDisk",
		},
		{
			"entries of the deny-list", number(directory.MaxOwnRevocations) + " own tokens that are revoked and have not expired", "", "the newest revocation",
			"429 `temporarily_unavailable`, `Retry-After: 60`", "watchword_denylist_entries", "issuer.TestOwnRevocationsAreBounded",
		},
		{
			"rows of recorded usage", number(usage.MaxOfCaller) + " a day, with " + number(usage.MaxAsked) + " sets of scopes that no rule granted for each target", number(usage.DefaultMaxRows) + " that wait to be stored",
			"the newest refusal: it is not counted. What was allowed is counted without its scopes", "nothing", "watchword_usage_dropped_total", "usage.TestACallerMakesABoundedNumberOfRows",
		},
		{
			"assertions and DPoP proofs that are remembered", "those of the last six minutes, at 40 bytes in memory", number(once.DefaultMaxWaiting) + " that wait to be stored", "the newest", "503 `temporarily_unavailable`",
			"watchword_once_waiting", "store.TestEndedNamesAreForgotten",
		},
		{
			"length of a token", size(issuer.MaxTokenSize) + fmt.Sprintf(", of a chain %d actors", jose.MaxActors), "", "the request", "400 `invalid_scope`", "watchword_decisions_total", "issuer.TestTokenThatIsTooLargeIsRefused",
		},
	}
}

func follower() []Row {
	return []Row{
		{
			"requests that wait for a revocation", number(web.MaxWaitingFrom), number(web.MaxWaiting), "the newest", "nothing: it is answered after " + web.RefusalDelay.String() + ", and does not wait", "watchword_http_requests_waiting",
			"app.TestAttacks/followers that never end",
		},
		{
			"deny-lists that are sent at once", "as requests worked on", number(web.MaxQueued), "more wait for their turn, for up to " + web.Patience.String(), overloaded, shed, "app.TestAttacks/whole deny-lists that nobody reads",
		},
		{
			"signatures for deny-lists", "", "one whole list every " + revocation.SignAgainAfter.String() + fmt.Sprintf(", one update a second for each of the last %d states", revocation.MaxSteps), "who is further behind gets the whole list", "nothing",
			"watchword_denylist_entries", "revocation.TestNothingNewIsSigned",
		},
	}
}

func operator() []Row {
	return []Row{
		{
			"wrong operator tokens", rate(admin.GuessBurst, admin.GuessRefill) + ", for each network; the right token is never held back", number(admin.MaxGuessers) + " networks are counted apart",
			"the newest", "429 `too_many_failures`, `Retry-After`", "watchword_http_request_duration_seconds_count", "admin.TestGuessingIsSlowedDownByAddress",
		},
		{
			"body", size(web.BodyLimit) + ", with keys of a trust " + size(admin.LongLimit) + ", with files " + size(admin.LargeLimit), fmt.Sprintf("%d of more than 16 KiB at once, one of more than 1 MiB worked on", admin.MaxLarge), "the newest",
			"413 `body_too_large` or `files_too_large`; 503", shed, "admin.TestBodyHasALimit",
		},
		{
			"plans, applies and questions about the whole call map or the audit log", fmt.Sprintf("%d at once; reading usage for a plan ends after %s", admin.MaxLargeAtOnce, admin.ReplayTimeout), "", "more wait for their turn, for up to " + admin.LargePatience.String(), "503 `too_many_questions`, `Retry-After: 10`", "watchword_http_request_duration_seconds_count",
			"app.TestAttacks/questions of an operator",
		},
		{
			"audit log that is read for one decision", size(admin.SearchLimit), "", "what is older", "404 `decision_not_found`", "watchword_http_request_duration_seconds_count", "audit.TestFindReadsNoMoreThanItMay",
		},
		{
			"rules of a call map file", number(callmap.MaxRules), "", "the file", "400 with the line", "watchword_rules", "callmap.TestSmallFileDoesNotBecomeAHugeMap",
		},
		{
			"identities in a call map file", number(directory.MaxCredentials) + " of a service, with its other credentials; " + number(directory.MaxAnchored) + " of a trust for the same claim", number(directory.MaxTrusts) + " trusts", "the file",
			"422 with the line", "watchword_credentials", "callmap.TestIdentitiesHaveTheBoundsOfCredentials",
		},
		{
			"credentials of a service", number(directory.MaxCredentials), "", "the newest", "409 `too_many_credentials`", "watchword_credentials", "directory.TestServiceHasAHundredCredentialsAtMost",
		},
		{
			"published keys", number(keys.MaxPublished) + " when an operator rotates; verifiers read " + number(jose.MaxKeys), "", "the newest rotation", "409 `too_many_keys`", "watchword_keys_healthy",
			"keys.TestKeySetStaysReadable",
		},
		{
			"rows of one answer", "1,000", "", "the rest: it is on the next page", "nothing", "watchword_http_request_duration_seconds_count", "admin.TestPageHasALimit",
		},
	}
}

func superTokens() []Row {
	return []Row{
		{
			"body", size(web.BodyLimit) + ", with an API key " + size(supertokens.KeyedBodyLimit), fmt.Sprintf("%d of more than 16 KiB at once", web.MaxLong), "the request", "413", "watchword_http_bodies_arriving",
			"supertokens.TestBodyOverTheLimitIsRefused",
		},
		{
			"records in the audit log", "refusals without API key as those of anyone; in the last room on the disk " + rate(audit.ShareBurst, audit.ShareRefill) + " for all clients together", "", "the newest", "503", "watchword_audit_held_back_total",
			"audit.TestServicesShareTheLastRoomOnTheDisk",
		},
	}
}
