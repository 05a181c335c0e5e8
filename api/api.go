// Package api has the types and names of the operator API, each written once: the JSON bodies of requests and answers
// (the OpenAPI document is GET /openapi.json), and the names of authentication methods, grant types, algorithms and so
// on. The server, the command line and package operator, the client of the API, use it.
//
// The tags doc, example, enum, minLength and so on become the OpenAPI document, and the server validates requests
// with them. The tag names stands for enum with the names of a table in names.go. Times are RFC 3339 in UTC, and
// lifetimes are whole seconds.
package api

// JWK is a public key as a JSON object (RFC 7517).
type JWK = map[string]any
