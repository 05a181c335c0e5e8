// A client that uses simple-oauth2. It is configured by the environment, and prints what it received as
// one line of JSON.
import { ClientCredentials } from "simple-oauth2";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, RESOURCE } = process.env;

const clientWith = (options) =>
	new ClientCredentials({
		client: { id: CLIENT_ID, secret: CLIENT_SECRET },
		auth: { tokenHost: ISSUER, tokenPath: "/oauth2/token", revokePath: "/oauth2/revoke" },
		options,
	});
const target = { resource: RESOURCE, scope: ["read", "write"] };

// The secret in the Authorization header, form-encoded as RFC 6749 requires, or not.
const basic = await clientWith({}).getToken(target);
const looseBasic = await clientWith({ credentialsEncodingMode: "loose" }).getToken(target);

// The secret in the body.
const post = await clientWith({ authorizationMethod: "body" }).getToken(target);

const token = basic.token;
await basic.revoke("access_token");

console.log(JSON.stringify({ tokens: { basic: token, looseBasic: looseBasic.token, post: post.token } }));
