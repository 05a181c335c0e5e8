"""A client that uses requests-oauthlib. It is configured by the environment, and prints what it received
as one line of JSON."""

import json
import os

from oauthlib.oauth2 import BackendApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

env = os.environ
client_id, secret = env["CLIENT_ID"], env["CLIENT_SECRET"]
token_url = env["ISSUER"] + "/oauth2/token"
target = {"resource": env["RESOURCE"], "scope": ["read"]}

# The secret in the Authorization header.
session = OAuth2Session(client=BackendApplicationClient(client_id=client_id))
basic = session.fetch_token(token_url, auth=HTTPBasicAuth(client_id, secret), **target)

# The secret in the body.
session = OAuth2Session(client=BackendApplicationClient(client_id=client_id))
post = session.fetch_token(token_url, include_client_id=True, client_secret=secret, **target)

# From here on, session.get(...) sends the token.
print(json.dumps({"tokens": {"basic": basic, "post": post}}))
