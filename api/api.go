// Package api has the types and the names that travel between operators and a Watchword server, each written
// once: the bodies of the operator API as JSON (its OpenAPI document is GET /openapi.json), and the names of
// authentication methods, grant types, algorithms and their like. The server, its command line and package
// operator all use it. It sends nothing: package operator is the client.
//
// The tags doc, example, enum, minLength and so on make the OpenAPI document; the server also holds requests
// against them. The tag names stands for enum with the names of a table in names.go. Times are RFC 3339 in UTC, and lifetimes whole seconds.
package api

// JWK is a public key as a JSON object (RFC 7517).
type JWK = map[string]any
