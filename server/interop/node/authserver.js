// An auth server on the JWT recipe: it exchanges a long-lived credential for a token for one
// microservice. The table is the call map of the demo.
"use strict";

const express = require("express");
const http = require("http");
const { init, JWT, express: framework } = require("./door");
const { keysOf, verify, bearer } = require("./tokens");

const allowed = new Map([
	["m1", new Set(["m1", "m2"])],
	["m2", new Set(["m1", "m2"])],
	["m3", new Set(["m1"])],
]);

const app = express();
const server = http.createServer(app);
server.listen(0, "127.0.0.1", () => {
	const port = server.address().port;
	init(port);
	const { middleware, errorHandler } = framework();
	const keys = keysOf(`http://127.0.0.1:${port}/auth/jwt/jwks.json`);

	app.use(express.json());
	app.use(middleware());
	app.post("/accesstoken", async (req, res) => {
		let caller;
		try {
			caller = await verify(bearer(req), keys, "auth-server");
		} catch (e) {
			return res.status(401).send(e.message);
		}
		const { target } = req.body;
		if (!allowed.get(caller.sub)?.has(target)) {
			return res.status(401).send("Unauthorized target microservice");
		}
		try {
			const token = await JWT.createJWT({ iss: "auth-server", sub: caller.sub, aud: target }, 3600);
			res.json({ accessToken: token.jwt });
		} catch (e) {
			res.status(500).send(e.message);
		}
	});
	app.use(errorHandler());
	console.log(JSON.stringify({ port }));
});
