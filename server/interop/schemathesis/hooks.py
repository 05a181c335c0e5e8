"""A check of Schemathesis: whoever has no operator token learns nothing and changes nothing."""

import requests
import schemathesis

# Before the token is looked at, a request can be refused for its form (RFC 9110, 15.5.15; RFC 6585), the name of the
# listener, or the page it comes from. After many requests without the token, 429 comes before everything else.
REFUSALS = {401, 403, 414, 421, 429, 431}


@schemathesis.check
def refused_without_token(ctx, response, case):
    request = response.request.copy()
    for authorization in (None, "Bearer wwo_wrong", "Basic bTE6bTE="):
        request.headers.pop("Authorization", None)
        if authorization:
            request.headers["Authorization"] = authorization
        with requests.Session() as session:
            got = session.send(request, timeout=30, allow_redirects=False)
        assert got.status_code in REFUSALS, (
            f"{request.method} {request.url} with Authorization {authorization}: {got.status_code} {got.text}"
        )
        assert got.headers["Content-Type"] == "application/problem+json", got.headers
