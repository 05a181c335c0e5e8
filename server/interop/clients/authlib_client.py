"""A client and a resource server that use Authlib. They are configured by the environment, and print
what they received as one line of JSON."""

import json
import os
import time

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc7523.assertion import private_key_jwt_sign

env = os.environ
ISSUER, CLIENT_ID, RESOURCE = env["ISSUER"], env["CLIENT_ID"], env["RESOURCE"]
metadata = requests.get(ISSUER + "/.well-known/oauth-authorization-server", timeout=10).json()


class Assertion(PrivateKeyJWT):
    """Authlib 1.2 makes assertions for the token endpoint that live for an hour. These are for the issuer
    and live for a minute."""

    def sign(self, auth, token_endpoint):
        soon = {"exp": int(time.time()) + 60}
        return private_key_jwt_sign(auth.client_secret, auth.client_id, ISSUER, alg="ES256", claims=soon)


def session(secret, method, client_id=CLIENT_ID):
    return OAuth2Session(
        client_id,
        secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        scope="read",
    )


def token(client):
    return dict(client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials", resource=RESOURCE))


basic = session(env["CLIENT_SECRET"], "client_secret_basic")
post = session(env["CLIENT_SECRET"], "client_secret_post")
with open(env["KEY_FILE"], encoding="ascii") as f:
    key = session(json.load(f), "private_key_jwt")
key.register_client_auth_method(Assertion())
tokens = {"basic": token(basic), "post": token(post), "privateKeyJwt": token(key)}

# The resource server verifies the token offline.
keys = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
must = {
    "iss": {"essential": True, "value": ISSUER},
    "aud": {"essential": True, "value": RESOURCE},
    "exp": {"essential": True},
}
seen = JsonWebToken(["ES256"]).decode(tokens["basic"]["access_token"], keys, claims_options=must)
seen.validate()
if seen.header["typ"] != "at+jwt":
    raise ValueError("not an access token")

# Or it introspects the token, before and after the client revokes it.
callee = session(env["CALLEE_SECRET"], "client_secret_basic", env["CALLEE_ID"])


def introspect():
    return callee.introspect_token(metadata["introspection_endpoint"], tokens["basic"]["access_token"]).json()


introspection = introspect()
basic.revoke_token(metadata["revocation_endpoint"], tokens["basic"]["access_token"]).raise_for_status()
revoked = introspect()

print(json.dumps({"tokens": tokens, "seen": seen, "introspection": introspection, "revoked": revoked}))
