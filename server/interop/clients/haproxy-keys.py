"""Writes the ES256 keys of Watchword as PEM files that haproxy reads. Run it before haproxy
starts and every few minutes after; when it prints "changed", reload haproxy.

    haproxy-keys.py https://auth.example.com /etc/haproxy/watchword"""

import base64
import json
import pathlib
import sys
import urllib.request

FILES = 4  # as many as haproxy.cfg names: the key that signs, the next, and two that signed before

# SubjectPublicKeyInfo of a key on P-256, up to its two coordinates (RFC 5480).
PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


def pem(jwk):
    point = b"".join(base64.urlsafe_b64decode(jwk[c] + "=") for c in "xy")
    if len(point) != 64:
        raise ValueError("not a point of P-256")
    text = base64.b64encode(PREFIX + point).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{text[:64]}\n{text[64:]}\n-----END PUBLIC KEY-----\n"


issuer, folder = sys.argv[1:]
with urllib.request.urlopen(issuer + "/.well-known/jwks.json", timeout=10) as answer:
    keys = [pem(k) for k in json.load(answer)["keys"] if k.get("alg") == "ES256"]
if not 0 < len(keys) <= FILES:
    sys.exit(f"{len(keys)} ES256 keys are published, haproxy.cfg has room for {FILES}")

changed = False
for i in range(FILES):
    file = pathlib.Path(folder, f"{i + 1}.pem")
    key = keys[min(i, len(keys) - 1)]
    if not file.exists() or file.read_text(encoding="ascii") != key:
        file.write_text(key, encoding="ascii")
        changed = True
if changed:
    print("changed")
