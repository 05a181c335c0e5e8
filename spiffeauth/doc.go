// Package spiffeauth lets package client use the identity that SPIFFE gives to this process, so that the process needs
// no secret: JWT-SVIDs as platform tokens, and X.509-SVIDs as client certificates. Both come from the SPIFFE Workload
// API, for instance of a SPIRE agent on the same host. It is a separate module, so that other programs link neither
// gRPC nor the SPIFFE library.
//
// The server must trust the trust domain (watchword trust add --preset spiffe), and a credential of the service must
// have the SPIFFE ID of this process.
package spiffeauth
