// Package conformance holds this server against the FAPI 2.0 Security Profile as the OpenID
// Foundation does: its tests are the modules of the plan fapi2-security-profile-final-test-plan
// that are left for clients without users (fapi_profile=fapi_client_credentials_grant), each under
// the module's name and in every variant it applies to. They see the server from outside only: TLS,
// HTTP, and tokens they make and read themselves. There is nothing in it but tests.
//
// The plan is that of openid-certification/conformance-suite of August 2026. A server passes a
// module here when it would have neither a failure nor a warning there.
package conformance
