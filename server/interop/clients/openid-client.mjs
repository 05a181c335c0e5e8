// A client that uses openid-client. It is configured by the environment, and prints what it received as
// one line of JSON.
import { readFileSync } from "node:fs";
import * as client from "openid-client";
import * as undici from "undici";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, KEY_FILE, CERT_FILE, CERT_KEY_FILE } = process.env;
const { CALLEE_ID, CALLEE_SECRET, RESOURCE, NEXT_RESOURCE, API_URL } = process.env;

const configure = (id, auth, metadata = {}, options = {}) =>
	client.discovery(new URL(ISSUER), id, metadata, auth, { algorithm: "oauth2", ...options });
const target = { resource: RESOURCE, scope: "read" };

// With a secret, in the Authorization header or in the body.
const config = await configure(CLIENT_ID, client.ClientSecretBasic(CLIENT_SECRET));
const basic = await client.clientCredentialsGrant(config, target);
const posting = await configure(CLIENT_ID, client.ClientSecretPost(CLIENT_SECRET), {}, { algorithm: "oidc" });
const post = await client.clientCredentialsGrant(posting, target);

// private_key_jwt: the private key stays in the client, and the server has the public key.
const jwk = JSON.parse(readFileSync(KEY_FILE));
const key = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const signing = await configure(CLIENT_ID, client.PrivateKeyJwt(key));
const privateKeyJwt = await client.clientCredentialsGrant(signing, target);

// DPoP: the token is accepted only together with a proof of this key. openid-client handles nonces by
// itself.
const DPoP = client.getDPoPHandle(signing, await client.randomDPoPKeyPair("ES256"));
const dpop = await client.clientCredentialsGrant(signing, target, { DPoP });

// mTLS: the fetch of Node.js does not support client certificates, that of undici does.
const dispatcher = new undici.Agent({ connect: { cert: readFileSync(CERT_FILE), key: readFileSync(CERT_KEY_FILE) } });
const certified = await configure(
	CLIENT_ID,
	client.TlsClientAuth(),
	{ use_mtls_endpoint_aliases: true },
	{ [client.customFetch]: (url, options) => undici.fetch(url, { ...options, dispatcher }) },
);
const mtls = await client.clientCredentialsGrant(certified, target);

// The calls, to a service that checks tokens and proofs and answers with the name of its caller.
const call = async (tokens, options) => {
	const response = await client.fetchProtectedResource(
		signing, tokens.access_token, new URL(API_URL), "GET", undefined, undefined, options,
	);
	return response.text();
};
const calls = { bearer: await call(basic), dpop: await call(dpop, { DPoP }) };

// The service calls the next one on behalf of its caller: token exchange.
const callee = await configure(CALLEE_ID, client.ClientSecretBasic(CALLEE_SECRET));
const exchanged = await client.genericGrantRequest(callee, "urn:ietf:params:oauth:grant-type:token-exchange", {
	subject_token: basic.access_token,
	subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
	resource: NEXT_RESOURCE,
	scope: "read",
});

// Introspection of a token before and after its client revoked it.
const introspection = await client.tokenIntrospection(callee, basic.access_token);
await client.tokenRevocation(config, basic.access_token);
const revoked = await client.tokenIntrospection(callee, basic.access_token);

console.log(
	JSON.stringify({
		metadata: config.serverMetadata(),
		tokens: { basic, post, privateKeyJwt, dpop, mtls, exchanged },
		calls,
		introspection,
		revoked,
	}),
);
await dispatcher.close();
