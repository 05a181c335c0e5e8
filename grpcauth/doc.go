// Package grpcauth provides packages client and verify for gRPC: interceptors for unary and streaming calls that
// add access tokens in clients, and check them in servers. It is a separate module, so that programs that use only
// HTTP do not link gRPC.
//
// Tokens are sent as "authorization: Bearer ..." metadata. Tokens that are bound to a certificate (RFC 8705) work
// over TLS connections that present it. Tokens that are bound with DPoP (RFC 9449) are refused by both sides,
// because no specification defines proofs for gRPC calls.
package grpcauth
