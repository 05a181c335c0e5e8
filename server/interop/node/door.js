// Starts one of the two SDKs against the core named by the environment, as an application does.
"use strict";

const which = process.env.SDK; // supertokens-node-16 or supertokens-node-24
const supertokens = require(which);
const JWT = require(`${which}/recipe/jwt`);

exports.init = (port) => {
	supertokens.init({
		framework: "express",
		telemetry: false,
		supertokens: { connectionURI: process.env.CORE, apiKey: process.env.API_KEY },
		appInfo: {
			appName: "interop",
			apiDomain: `http://localhost:${port}`,
			websiteDomain: "http://example.com",
		},
		recipeList: [JWT.init()],
	});
};
exports.JWT = JWT;
exports.express = () => require(`${which}/framework/express`);
