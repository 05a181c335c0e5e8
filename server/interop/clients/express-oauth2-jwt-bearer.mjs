// A service behind express-oauth2-jwt-bearer that answers with the name of its caller. It accepts bearer
// tokens, and bound tokens together with a proof of the key (DPoP) or with the certificate (mTLS).
import { readFileSync } from "node:fs";
import https from "node:https";
import express from "express";
import { auth, requiredScopes } from "express-oauth2-jwt-bearer";

const { ISSUER, RESOURCE, TLS_CERT_FILE, TLS_KEY_FILE } = process.env;

const app = express();
app.use(
	auth({
		issuerBaseURL: ISSUER, // finds the keys through /.well-known/openid-configuration
		audience: RESOURCE,
		tokenSigningAlg: "ES256",
		strict: true, // typ at+jwt, and the claims of RFC 9068
		getCertificate: (req) => req.socket.getPeerCertificate(true).raw,
	}),
);
app.get("/hello", requiredScopes("read"), (req, res) => {
	res.send(`Hello to ${req.auth.payload.sub}!`);
});
app.get("/write", requiredScopes("write"), (req, res) => {
	res.send(`Written by ${req.auth.payload.sub}.`);
});
app.use((err, req, res, next) => {
	res.status(err.status ?? 500).set(err.headers ?? {}).send(err.message);
});

const server = https.createServer(
	{ cert: readFileSync(TLS_CERT_FILE), key: readFileSync(TLS_KEY_FILE), requestCert: true, rejectUnauthorized: false },
	app,
);
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
