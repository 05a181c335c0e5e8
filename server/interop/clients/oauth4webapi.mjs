// A client and a resource server that use oauth4webapi. They are configured by the environment, and print
// what they received as one line of JSON.
import { readFileSync } from "node:fs";
import * as oauth from "oauth4webapi";
import * as undici from "undici";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, KEY_FILE, CERT_FILE, CERT_KEY_FILE } = process.env;
const { CALLEE_ID, CALLEE_SECRET, RESOURCE, NEXT_RESOURCE } = process.env;

// Discovery. Both well-known URLs return the same document.
const issuer = new URL(ISSUER);
const discover = async (algorithm) =>
	oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm }));
const as = await discover("oauth2"); // /.well-known/oauth-authorization-server
const sameAs = await discover("oidc"); // /.well-known/openid-configuration

// A token is for one target. The third argument is how the client authenticates.
const client = { client_id: CLIENT_ID };
async function getToken(auth, options, asking = client) {
	const parameters = { resource: RESOURCE, scope: "read" };
	const response = await oauth.clientCredentialsGrantRequest(as, asking, auth, parameters, options);
	return oauth.processClientCredentialsResponse(as, asking, response);
}
const basic = await getToken(oauth.ClientSecretBasic(CLIENT_SECRET));
const post = await getToken(oauth.ClientSecretPost(CLIENT_SECRET));

// private_key_jwt: the private key stays in the client, and the server has the public key.
const jwk = JSON.parse(readFileSync(KEY_FILE));
const key = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const privateKeyJwt = await getToken(oauth.PrivateKeyJwt(key));

// DPoP: the token is accepted only together with a proof of this key. A server that requires a nonce
// says so in its first answer.
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));
let dpopTries = 0;
async function getBoundToken() {
	dpopTries++;
	return getToken(oauth.PrivateKeyJwt(key), { DPoP });
}
const dpop = await getBoundToken().catch((err) => {
	if (oauth.isDPoPNonceError(err)) return getBoundToken();
	throw err;
});

// mTLS: the fetch of Node.js does not support client certificates, that of undici does.
const dispatcher = new undici.Agent({ connect: { cert: readFileSync(CERT_FILE), key: readFileSync(CERT_KEY_FILE) } });
const withCertificate = (url, options) => undici.fetch(url, { ...options, dispatcher });
const mtls = await getToken(
	oauth.TlsClientAuth(),
	{ [oauth.customFetch]: withCertificate },
	{ ...client, use_mtls_endpoint_aliases: true },
);

// The resource server verifies the token of a request offline.
const check = (scheme, token, headers = {}) =>
	oauth.validateJwtAccessToken(
		as,
		new Request(RESOURCE, { headers: { authorization: `${scheme} ${token}`, ...headers } }),
		RESOURCE,
	);
const seen = await check("Bearer", basic.access_token);
const asBearer = await check("Bearer", dpop.access_token).then(() => "accepted", () => "refused");

// It calls the next service on behalf of the caller: token exchange.
const callee = { client_id: CALLEE_ID };
const calleeAuth = oauth.ClientSecretBasic(CALLEE_SECRET);
const exchanged = await oauth.processGenericTokenEndpointResponse(
	as,
	callee,
	await oauth.genericTokenEndpointRequest(
		as,
		callee,
		calleeAuth,
		"urn:ietf:params:oauth:grant-type:token-exchange",
		{
			subject_token: basic.access_token,
			subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
			resource: NEXT_RESOURCE,
			scope: "read",
		},
	),
	{ recognizedTokenTypes: {} },
);

// It can also introspect the token, and get a signed answer (RFC 9701).
async function introspect(token, options) {
	const response = await oauth.introspectionRequest(as, callee, calleeAuth, token, options);
	const answer = await oauth.processIntrospectionResponse(as, callee, response);
	if (options?.requestJwtResponse) await oauth.validateApplicationLevelSignature(as, response);
	return answer;
}
callee.introspection_signed_response_alg = as.introspection_signing_alg_values_supported[0];
const introspection = await introspect(basic.access_token);
const signedIntrospection = await introspect(basic.access_token, { requestJwtResponse: true });

// The client revokes its token.
await oauth.processRevocationResponse(
	await oauth.revocationRequest(as, client, oauth.ClientSecretBasic(CLIENT_SECRET), basic.access_token),
);
const revoked = await introspect(basic.access_token);

console.log(
	JSON.stringify({
		metadata: as,
		sameMetadata: JSON.stringify(as) === JSON.stringify(sameAs),
		tokens: { basic, post, privateKeyJwt, dpop, mtls, exchanged },
		dpopTries,
		seen,
		asBearer,
		introspection,
		signedIntrospection,
		revoked,
	}),
);
await dispatcher.close();
