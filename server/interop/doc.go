// Package interop has no code, only tests: real clients run against watchword serve, built and
// started as a user would. It knows of the server only what its clients and operators see.
//
// Clients of the SuperTokens core are supertokens-node 16.7 and 24 and supertokens-golang 0.25,
// with jsonwebtoken and jwks-rsa as verifiers. Clients and resource servers of the OAuth endpoints are in
// the folder clients and in the commands of the module golang: each is one that docs/clients has a
// page about, and the page shows the file that ran.
//
// The OpenAPI document of the operator API is linted, and typescript/operator.ts compiled against what is generated from it. Schemathesis
// makes requests from it.
//
// Health, readiness and the addresses of clients are tested with real haproxy and nginx, whose files are in the folder
// fleet, and with the requests of a kubelet.
//
// Tokens of platforms are those of real ones: the API server of Kubernetes with etcd, built from their modules, which the
// folder platforms pins. There are no nodes, so that the tests write the files that a kubelet would.
// A trust domain of SPIFFE is a SPIRE server and an agent, built likewise, and the tests are its workloads.
//
// The tests need Node.js 20 or later and npm, and Debian's haproxy, nginx, httpd with mod_oauth2 and Python
// libraries; scripts/needs installs them, and has scripts/platforms build the platforms. Package-lock.json and
// golang/go.sum pin the rest. Where something is missing, tests fail under CI=true and WWTEST=all, as `make test` sets it: what
// real clients make of the endpoints is not to go untested unseen.
package interop
