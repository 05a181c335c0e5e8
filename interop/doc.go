// Package interop has no code, only tests: real clients of the SuperTokens core
// (supertokens-node 16.7 and 24, supertokens-golang 0.25) and real verifiers (jsonwebtoken with
// jwks-rsa) run against watchword serve, built and started as a user would. It knows of the
// server only what its clients and operators see.
//
// The tests need Node.js 20 or later and npm, and install what package-lock.json pins.
// Without Node.js they fail under CI=true and WWTEST=all, as `make test` sets it: what
// real clients make of the door is not to go untested unseen.
package interop
