#!/bin/sh
# There are three services. m1 calls m2 and m3, and m2 calls m3 on behalf of its callers. m1 has a
# credential of every kind here, but one is sufficient.
set -eu

watchword service create m1
watchword service create m2 --audience https://m2.test/
watchword service create m3 --audience https://m3.test/
watchword allow m1 m2 --scope read --scope write
watchword allow m1 m3 --scope read --scope write
watchword allow m2 m3 --scope read --scope write --exchange delegate

watchword credential create m1 --kind secret --out m1.secret
watchword credential create m1 --kind key --out m1.jwk # the server has only the public key
watchword credential create m1 --kind certificate --out self-key.pem --out-cert self.pem
watchword credential create m1 --kind tls_subject --dns m1.test # in a certificate of an authority in tls.client_ca_file
watchword credential create m2 --kind secret --out m2.secret
