// Package grpcauth is packages client and verify for gRPC: interceptors for unary and streaming calls
// that send access tokens on the calling side, and check them on the called side. It is a module of
// its own, so that programs that speak HTTP only do not link gRPC.
//
// Tokens travel as "authorization: Bearer ..." metadata. Tokens bound to a certificate (RFC 8705)
// work, over TLS connections that present it. DPoP-bound tokens (RFC 9449) do not: what a proof
// would have to name of a gRPC call is not defined anywhere, so both sides refuse them.
package grpcauth
