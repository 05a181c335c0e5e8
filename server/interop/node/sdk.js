// Answers one line of JSON on standard output for each on standard input: a call of the JWT
// recipe and what it returned or threw.
"use strict";

const { init, JWT } = require("./door");

init(8000);

const calls = {
	createJWT: ({ payload, validity, useStatic }) => JWT.createJWT(payload, validity, useStatic),
	getJWKS: () => JWT.getJWKS(),
};

async function answer(line) {
	const call = JSON.parse(line);
	try {
		return { result: await calls[call.op](call) };
	} catch (e) {
		return { error: e.message };
	}
}

require("readline")
	.createInterface({ input: process.stdin })
	.on("line", async (line) => console.log(JSON.stringify(await answer(line))));
