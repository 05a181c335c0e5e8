// Package interop has no code, only tests: real clients of the SuperTokens core
// (supertokens-node 16.7 and 24, supertokens-golang 0.25) and real verifiers (jsonwebtoken with
// jwks-rsa) run against the SuperTokens door. It does not know how the door works.
//
// The tests need Node.js 20 or later and npm, and install what package-lock.json pins.
// Without Node.js they fail: what real clients make of the door is not to go untested unseen.
package interop
