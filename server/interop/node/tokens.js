// Verifies a token as jsonwebtoken and jwks-rsa are meant to be used: algorithm, issuer and
// audience are all named, and a key that is not found is an error.
"use strict";

const jsonwebtoken = require("jsonwebtoken");
const jwksClient = require("jwks-rsa");

exports.keysOf = (jwksUri) => jwksClient({ jwksUri });

exports.verify = (token, keys, audience) =>
	new Promise((resolve, reject) => {
		const key = (header, done) => keys.getSigningKey(header.kid, (err, k) => done(err, k?.getPublicKey()));
		const expected = { algorithms: ["RS256"], issuer: "auth-server", audience };
		jsonwebtoken.verify(token, key, expected, (err, claims) => (err ? reject(err) : resolve(claims)));
	});

exports.bearer = (req) => {
	const [scheme, token] = (req.headers.authorization ?? "").split(" ");
	return scheme === "Bearer" ? token : "";
};
