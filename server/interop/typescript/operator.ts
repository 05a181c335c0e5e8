// Uses the operator API with a client that openapi-typescript made from /openapi.json. What the document gets wrong does
// not compile here, or fails at a real server.
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

declare const process: { env: Record<string, string | undefined>; stdout: { write(text: string): void } };

const api = createClient<paths>({
	baseUrl: process.env.OPERATORS,
	headers: { Authorization: `Bearer ${process.env.OPERATOR_TOKEN}` },
});

// answered returns the body of a success.
function answered<T>(got: { data?: T; error?: components["schemas"]["Problem"]; response: Response }): T {
	if (got.data === undefined) {
		throw new Error(`${got.response.status} ${got.error?.code}: ${got.error?.detail}`);
	}
	return got.data;
}

const names: string[] = [];
for (const name of ["web", "shop", "stock"]) {
	const service = answered(await api.POST("/admin/v1/services", { body: { name, labels: ["team=web"], tokenTtlSeconds: 60 } }));
	names.push(service.name);
}

// A service has a name.
// @ts-expect-error
const nameless: components["schemas"]["NewService"] = { description: "nobody" };
void nameless;

const rule = answered(
	await api.PUT("/admin/v1/rules/{caller}/{target}", {
		params: { path: { caller: "web", target: "shop" } },
		body: { scopes: ["read"], when: { networks: ["10.0.0.0/8"] } },
	}),
);

// A credential has a kind and a lifetime also if the request names neither.
const issued = answered(
	await api.POST("/admin/v1/services/{name}/credentials", { params: { path: { name: "web" } }, body: { name: "production" } }),
);
const days: number = (Date.parse(issued.credential.expiresAt) - Date.parse(issued.credential.createdAt)) / 86_400_000;

// All pages of a list.
const listed: string[] = [];
for (let pageToken: string | undefined; ; ) {
	const page = answered(await api.GET("/admin/v1/services", { params: { query: { limit: 2, pageToken } } }));
	listed.push(...page.services.map((s) => s.name));
	pageToken = page.nextPageToken;
	if (pageToken === undefined) break;
}

const conflict = await api.POST("/admin/v1/services", { body: { name: "web" } });
const unknown = await api.GET("/admin/v1/services/{name}", { params: { path: { name: "nobody" } } });
const invalid = await api.PATCH("/admin/v1/services/{name}", {
	params: { path: { name: "web" } },
	body: { tokenTtlSeconds: -1 },
});

process.stdout.write(
	JSON.stringify({
		names,
		scopes: rule.scopes,
		networks: rule.when?.networks,
		kind: issued.credential.kind,
		days,
		hasToken: issued.token !== undefined,
		listed,
		errors: [conflict, unknown, invalid].map(({ error, response }) => ({
			status: response.status,
			code: error?.code,
			at: error?.errors?.[0]?.location,
		})),
	}) + "\n",
);
