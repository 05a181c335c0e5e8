// An MCP server with one tool. It verifies tokens offline, and tells clients where to get one (RFC 9728).
import { readFileSync } from "node:fs";
import https from "node:https";
import express from "express";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { requireBearerAuth } from "@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js";
import { InvalidTokenError } from "@modelcontextprotocol/sdk/server/auth/errors.js";
import { getOAuthProtectedResourceMetadataUrl, mcpAuthMetadataRouter } from "@modelcontextprotocol/sdk/server/auth/router.js";

const { ISSUER, TLS_CERT_FILE, TLS_KEY_FILE } = process.env;

const oauthMetadata = await (await fetch(`${ISSUER}/.well-known/oauth-authorization-server`)).json();
const keys = createRemoteJWKSet(new URL(oauthMetadata.jwks_uri));

function serve(resource) {
	const verifier = {
		async verifyAccessToken(token) {
			try {
				const { payload } = await jwtVerify(token, keys, {
					issuer: ISSUER,
					audience: resource.href,
					typ: "at+jwt",
					algorithms: ["ES256"],
				});
				return {
					token,
					clientId: payload.client_id,
					scopes: (payload.scope ?? "").split(" "),
					expiresAt: payload.exp,
					resource,
				};
			} catch (err) {
				throw new InvalidTokenError(err.message);
			}
		},
	};
	app.use(mcpAuthMetadataRouter({ oauthMetadata, resourceServerUrl: resource }));
	const resourceMetadataUrl = getOAuthProtectedResourceMetadataUrl(resource);
	app.post("/mcp", requireBearerAuth({ verifier, resourceMetadataUrl, expectedResource: resource }), express.json(), async (req, res) => {
		const mcp = new McpServer({ name: "interop", version: "1.0.0" });
		mcp.registerTool("whoami", { description: "Says who called." }, ({ authInfo }) => ({
			content: [{ type: "text", text: `Hello to ${authInfo.clientId}!` }],
		}));
		const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
		res.on("close", () => mcp.close());
		await mcp.connect(transport);
		await transport.handleRequest(req, res, req.body);
	});
	app.all("/mcp", (req, res) => res.sendStatus(405)); // there are no sessions to stream or to end
}

const app = express();
const server = https.createServer({ cert: readFileSync(TLS_CERT_FILE), key: readFileSync(TLS_KEY_FILE) }, app);
server.listen(0, "127.0.0.1", () => {
	const { port } = server.address();
	serve(new URL(`https://127.0.0.1:${port}/mcp`));
	console.log(JSON.stringify({ port }));
});
