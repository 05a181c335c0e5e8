// The microservice of the demo: GET /hello verifies the caller's token, POST /query calls
// another microservice. Its name is the argument; where the others are comes as one line of
// JSON on standard input.
"use strict";

const express = require("express");
const http = require("http");
const { keysOf, verify, bearer } = require("./tokens");

const me = process.argv[2];
const authServer = process.env.AUTH_SERVER;
const keys = keysOf(`${authServer}/auth/jwt/jwks.json`);
let peers = {};

require("readline")
	.createInterface({ input: process.stdin })
	.on("line", (line) => {
		peers = JSON.parse(line);
		console.log(JSON.stringify({ ready: true }));
	});

async function tokenFor(target) {
	const r = await fetch(`${authServer}/accesstoken`, {
		method: "POST",
		headers: { authorization: `Bearer ${process.env.CREDENTIAL}`, "content-type": "application/json" },
		body: JSON.stringify({ target }),
	});
	if (!r.ok) throw Object.assign(new Error(await r.text()), { status: r.status });
	return (await r.json()).accessToken;
}

const app = express();
app.use(express.json());
app.get("/hello", async (req, res) => {
	try {
		const caller = await verify(bearer(req), keys, me);
		res.send(`Hello to ${caller.sub} from ${me}!`);
	} catch (e) {
		res.status(401).send(e.message);
	}
});
app.post("/query", async (req, res) => {
	try {
		const { target } = req.body;
		const token = await tokenFor(target);
		const r = await fetch(`${peers[target]}/hello`, { headers: { authorization: `Bearer ${token}` } });
		res.status(r.status).send(await r.text());
	} catch (e) {
		res.status(e.status ?? 500).send(e.message);
	}
});
const server = http.createServer(app);
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
