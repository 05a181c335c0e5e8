// An MCP client without a user: it authenticates with a secret or with a key, and needs no browser. The
// server's tool returns the name of the caller.
import { readFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { ClientCredentialsProvider, PrivateKeyJwtProvider } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, KEY_FILE, MCP_URL } = process.env;

const withSecret = new ClientCredentialsProvider({
	clientId: CLIENT_ID,
	clientSecret: CLIENT_SECRET,
	expectedIssuer: ISSUER,
});
const withKey = new PrivateKeyJwtProvider({
	clientId: CLIENT_ID,
	privateKey: JSON.parse(readFileSync(KEY_FILE)), // a JWK, or a string with PKCS #8 in PEM
	algorithm: "ES256",
	expectedIssuer: ISSUER,
});

async function whoami(authProvider) {
	const client = new Client({ name: "interop", version: "1.0.0" });
	await client.connect(new StreamableHTTPClientTransport(new URL(MCP_URL), { authProvider }));
	const answer = await client.callTool({ name: "whoami" });
	await client.close();
	return { said: answer.content[0].text, token: authProvider.tokens() };
}

const secret = await whoami(withSecret);
const key = await whoami(withKey);
console.log(
	JSON.stringify({
		said: { secret: secret.said, key: key.said },
		tokens: { secret: secret.token, key: key.token },
	}),
);
