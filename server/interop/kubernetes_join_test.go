//go:build unix

package interop

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/watchword-dev/watchword/client"
)

// A cluster vouches for its pods. Nothing is stored on their side but the file that Kubernetes writes, and the server
// fetches nothing: it has the cluster's keys through the kubeconfig of whoever adds the trust.
func TestKubernetesVouchesForItsPods(t *testing.T) {
	k, o := startKubernetes(t, clusterIssuer), startOAuth(t)
	for _, namespace := range []string{"shop", "shop-staging"} {
		k.namespace(t, namespace)
		k.serviceAccount(t, namespace, "cart")
	}
	uid := k.kubectl(t, "get", "serviceaccount", "cart", "-n", "shop", "-o", "jsonpath={.metadata.uid}")
	k.serviceAccount(t, "shop", "cart-admin")
	k.serviceAccount(t, "shop", "basket")
	o.watchword(t, k.env(), "", "trust", "add", "prod", "--preset", "kubernetes", "--from-kubeconfig="+k.kubeconfig)
	for _, service := range []string{"cart", "basket"} {
		said := o.watchword(t, nil, k.token(t, "shop", service, "--audience", o.issuer), "service", "create", service, "--from-token", "--yes")
		if service == "cart" && !strings.Contains(said, uid) {
			t.Errorf("the rule that is proposed does not name the uid %s of the service account:\n%s", uid, said)
		}
		o.run(t, "allow", service, "m2", "--scope", "read")
	}
	cart := func(t *testing.T) string { return k.token(t, "shop", "cart", "--audience", o.issuer) }

	// FED-001. FED-008.
	t.Run("a token of the service account is accepted again and again", func(t *testing.T) {
		o.joins(t, cart(t), "cart")
		pod := k.pod(t, "shop", "cart-0", "cart", "")
		o.joins(t, k.token(t, "shop", "cart", append(boundTo("cart-0", pod), "--audience", o.issuer, "--duration", "10m")...), "cart")
		// Kubernetes before 1.30 writes no jti unless told to. Signed with the key of this cluster, such a token is accepted too.
		now := time.Now().Unix()
		o.joins(t, k.sign(t, jwt.MapClaims{
			"iss": clusterIssuer, "sub": "system:serviceaccount:shop:cart", "aud": []string{o.issuer}, "iat": now, "nbf": now, "exp": now + 600,
			"kubernetes.io": map[string]any{"namespace": "shop", "serviceaccount": map[string]any{"name": "cart", "uid": uid}},
		}), "cart")
	})

	// FED-003.
	t.Run("a token for others is refused", func(t *testing.T) {
		o.refusesFor(t, "another audience", k.token(t, "shop", "cart", "--audience", "https://other.example.com"), "audience_mismatch", "aud")
		o.refusesFor(t, "two audiences", k.token(t, "shop", "cart", "--audience", o.issuer, "--audience", "https://other.example.com"), "audience_mismatch", "aud")
		pod := k.pod(t, "shop", "cart-1", "cart", "")
		o.refusesFor(t, "what a pod has for the API server", k.token(t, "shop", "cart", append(boundTo("cart-1", pod), "--duration", "3607s")...), "audience_mismatch", "aud", "lifetime")
	})

	// FED-005.
	t.Run("a token of another service account is refused", func(t *testing.T) {
		o.refusesFor(t, "another namespace", k.token(t, "shop-staging", "cart", "--audience", o.issuer), "no_matching_credential", "uid", "sub")
		o.refusesFor(t, "a longer name", k.token(t, "shop", "cart-admin", "--audience", o.issuer), "no_matching_credential", "uid", "sub")
	})

	// The key of the cluster signs them too, and they never end.
	t.Run("a token of a Secret is refused", func(t *testing.T) {
		for _, c := range []struct {
			reason, unmet string
			claims        jwt.MapClaims
		}{
			{"unknown_issuer", "iss", jwt.MapClaims{
				"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:shop:cart", "kubernetes.io/serviceaccount/namespace": "shop",
				"kubernetes.io/serviceaccount/service-account.name": "cart", "kubernetes.io/serviceaccount/service-account.uid": uid,
			}},
			{"no_expiry", "exp", jwt.MapClaims{
				"iss": clusterIssuer, "sub": "system:serviceaccount:shop:cart", "aud": []string{o.issuer}, "iat": time.Now().Unix(),
				"kubernetes.io": map[string]any{"namespace": "shop", "serviceaccount": map[string]any{"name": "cart", "uid": uid}},
			}},
		} {
			o.refusesFor(t, "a token with the claims of a Secret", k.sign(t, c.claims), c.reason, c.unmet)
		}
	})

	t.Run("the SDK reads the projected file each time", func(t *testing.T) {
		volume := &projected{dir: t.TempDir()}
		volume.write(t, cart(t))
		t.Setenv("WATCHWORD_URL", o.issuer)
		t.Setenv("WATCHWORD_TOKEN_FILE", filepath.Join(volume.dir, "token"))
		c, err := client.FromEnvironment(t.Context(), func(c *client.Config) { c.HTTPClient = o.http })
		must(t, err)
		defer c.Close()
		// Sources of one target and other scopes do not share their tokens.
		for service, scopes := range map[string][]string{"cart": nil, "basket": {"read"}} {
			volume.write(t, k.token(t, "shop", service, "--audience", o.issuer))
			token, err := c.TokenSource(m2URL, scopes...).Token(t.Context())
			must(t, err)
			if got := claimsOf(t, token.Reveal()).Subject; got != service {
				t.Errorf("with the token of %s in the file, the SDK gets one for %s", service, got)
			}
		}
		must(t, os.Remove(filepath.Join(volume.dir, "token")))
		if token, err := c.TokenSource(m3URL).Token(t.Context()); err == nil || !strings.Contains(err.Error(), volume.dir) {
			t.Errorf("without the file: %v, %v", token, err)
		}
	})

	t.Run("a service account that was created again is another", func(t *testing.T) {
		again := k.recreate(t, "shop", "cart")
		token := cart(t)
		o.refusesFor(t, "created again", token, "claims_differ", "uid")
		why := o.why(t, token)
		for _, part := range []string{"uid", uid, again, "created again"} {
			if !strings.Contains(why, part) {
				t.Errorf("watchword why does not say %q:\n%s", part, why)
			}
		}
		o.joins(t, k.token(t, "shop", "basket", "--audience", o.issuer), "basket")
	})

	t.Run("after a rotation, new tokens are refused until the keys are uploaded", func(t *testing.T) {
		old := k.token(t, "shop", "basket", "--audience", o.issuer)
		k.rotate(t)
		current := k.token(t, "shop", "basket", "--audience", o.issuer)
		o.joins(t, old, "basket")
		kid, _ := readToken(t, current).Header["kid"].(string)
		o.refusesFor(t, "a new key", current, "unknown_key", "kid")
		if why := o.why(t, current); !strings.Contains(why, kid) {
			t.Errorf("watchword why does not name the key %s:\n%s", kid, why)
		}
		for _, args := range [][]string{{"trust", "list"}, {"trust", "show", "prod"}, {"service", "show", "basket"}} {
			if said := o.watchword(t, nil, "", args...); !strings.Contains(said, "upload them: watchword trust keys prod") {
				t.Errorf("watchword %s does not warn of the new key:\n%s", args, said)
			}
		}
		o.watchword(t, k.env(), "", "trust", "keys", "prod", "--from-kubeconfig="+k.kubeconfig)
		o.joins(t, current, "basket")
		o.joins(t, old, "basket")
	})
}

// sign signs claims that no TokenRequest gives, with the key of the cluster.
func (k *kubernetes) sign(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	key := k.keys[len(k.keys)-1]
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	id := sha256.Sum256(der) // as kube-apiserver names its keys (pkg/serviceaccount, keyIDFromPublicKey)
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	delete(token.Header, "typ")
	token.Header["kid"] = base64.RawURLEncoding.EncodeToString(id[:])
	compact, err := token.SignedString(key)
	must(t, err)
	return compact
}

// why presents a platform token until its refusal has a record of its own, which only some of many have (docs/limits.md),
// and returns what watchword why prints about it.
func (o *oauth) why(t *testing.T, platformToken string) (said string) {
	t.Helper()
	var a answered
	until(t, "a refusal with a record", func() (string, bool) {
		a = o.present(t, "as client_assertion", platformToken)
		return a.body, a.decision != ""
	})
	return o.watchword(t, nil, "", "why", a.decision)
}

// projected is a volume of a pod, into which the kubelet writes a token, and another one before that ends. Readers see the
// one or the other, since one rename of a symbolic link replaces all files at once (k8s.io/kubernetes/pkg/volume/util, AtomicWriter).
type projected struct {
	dir   string
	count int
}

func (p *projected) write(t *testing.T, token string) {
	t.Helper()
	p.count++
	version := "..version-" + string(rune('0'+p.count))
	must(t, os.Mkdir(filepath.Join(p.dir, version), 0o755))
	must(t, os.WriteFile(filepath.Join(p.dir, version, "token"), []byte(token), 0o600))
	must(t, os.Symlink(version, filepath.Join(p.dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(p.dir, "..data_tmp"), filepath.Join(p.dir, "..data")))
	if p.count == 1 {
		must(t, os.Symlink(filepath.Join("..data", "token"), filepath.Join(p.dir, "token")))
	}
}
