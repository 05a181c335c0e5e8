//go:build unix

package interop

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clusterIssuer is the issuer of a cluster that nobody configured: a name that nothing outside of the cluster resolves.
const clusterIssuer = "https://kubernetes.default.svc.cluster.local"

// kubernetes is a cluster: an API server with etcd, on loopback. It has no nodes, so that a pod is only an object to
// which a token can be bound, and what a kubelet would project into it, a test writes into a file.
type kubernetes struct {
	issuer     string
	kubeconfig string // of an administrator
	bin        string // has kubectl, and what else the tests do not need

	authority *authority
	keys      []*rsa.PrivateKey // of service accounts; the last one signs
	serverAt  string            // host and port of the API server
	etcdAt    string
	stop      func() // stops the API server
	home      string // of kubectl
}

// startKubernetes starts a cluster whose tokens have this issuer. The test's end stops it.
func startKubernetes(t *testing.T, issuer string) *kubernetes {
	t.Helper()
	k := &kubernetes{
		issuer: issuer, bin: platform(t, "kubernetes"), authority: newAuthority(t),
		serverAt: freeAddress(t), etcdAt: freeAddress(t), home: t.TempDir(),
	}
	t.Log(builtFrom(t, filepath.Join(k.bin, "kube-apiserver")), builtFrom(t, filepath.Join(k.bin, "server")))
	peers := "http://" + freeAddress(t)
	daemon(t, nil, k.etcdAt, filepath.Join(k.bin, "server"), // etcd is the command of go.etcd.io/etcd/server
		"--data-dir", t.TempDir(), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", "http://"+k.etcdAt, "--advertise-client-urls", "http://"+k.etcdAt,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers)
	k.authority.server(t)
	administrator := certificate("administrator")
	administrator.Subject = pkix.Name{CommonName: "administrator", Organization: []string{"system:masters"}}
	administrator.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	k.authority.issue(t, "administrator", administrator)
	k.writeKubeconfig(t)
	k.rotate(t)
	return k
}

func (k *kubernetes) writeKubeconfig(t *testing.T) {
	t.Helper()
	k.kubeconfig = filepath.Join(k.authority.dir, "kubeconfig")
	a := k.authority
	must(t, os.WriteFile(k.kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: "https://%s", certificate-authority: %q}}]
users: [{name: administrator, user: {client-certificate: %q, client-key: %q}}]
contexts: [{name: here, context: {cluster: here, user: administrator}}]
current-context: here
`, k.serverAt, a.file("authority"), a.file("administrator"), a.file("administrator-key")), 0o600))
}

// rotate starts the API server again with one more key, which signs all tokens from now on, as the administrator of a
// cluster rotates the keys of service accounts. Tokens of the other keys stay valid.
func (k *kubernetes) rotate(t *testing.T) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	name := fmt.Sprint("sa-", len(k.keys))
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	k.authority.write(t, name+"-key", "PRIVATE KEY", private)
	k.authority.write(t, name, "PUBLIC KEY", public)
	k.keys = append(k.keys, key)
	k.restart(t)
}

func (k *kubernetes) restart(t *testing.T) {
	t.Helper()
	if k.stop != nil {
		k.stop()
	}
	a := k.authority
	args := []string{
		"--etcd-servers", "http://" + k.etcdAt,
		"--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", port(k.serverAt), "--endpoint-reconciler-type", "none",
		"--tls-cert-file", a.file("server"), "--tls-private-key-file", a.file("server-key"), "--client-ca-file", a.file("authority"),
		"--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.0.0.0/24",
		"--service-account-issuer", k.issuer,
		"--service-account-signing-key-file", a.file(fmt.Sprintf("sa-%d-key", len(k.keys)-1)),
	}
	for n := range k.keys {
		args = append(args, "--service-account-key-file", a.file(fmt.Sprint("sa-", n)))
	}
	k.stop = daemon(t, nil, k.serverAt, filepath.Join(k.bin, "kube-apiserver"), args...)
	k.awaitReady(t)
}

// awaitReady waits until the API server has made what each cluster has: roles, among them the one that may read the keys.
func (k *kubernetes) awaitReady(t *testing.T) {
	t.Helper()
	until(t, "kube-apiserver's /readyz", func() (string, bool) {
		status, body, err := k.anonymous("/readyz")
		return fmt.Sprint(status, " ", body, err), status == http.StatusOK
	})
}

// anonymous makes a request without a credential.
func (k *kubernetes) anonymous(path string) (status int, body string, err error) {
	roots := x509.NewCertPool()
	roots.AddCert(k.authority.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get("https://" + k.serverAt + path)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// env is the environment of a program that runs kubectl.
func (k *kubernetes) env() []string {
	return []string{
		"PATH=" + k.bin + string(filepath.ListSeparator) + os.Getenv("PATH"), "KUBECACHEDIR=" + k.home, "KUBECONFIG=" + k.kubeconfig,
	}
}

// kubectl runs a command of an administrator, and returns what it prints without the space around it.
func (k *kubernetes) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, k.env(), filepath.Join(k.bin, "kubectl"), args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(out)
}

// create makes an object, and returns its uid.
func (k *kubernetes) create(t *testing.T, object map[string]any) (uid string) {
	t.Helper()
	b, err := json.Marshal(object)
	must(t, err)
	cmd := exec.CommandContext(t.Context(), filepath.Join(k.bin, "kubectl"), "create", "-f", "-", "-o", "jsonpath={.metadata.uid}")
	cmd.Env = append(os.Environ(), k.env()...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(b), t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl create %s: %v", b, err)
	}
	return string(out)
}

func (k *kubernetes) namespace(t *testing.T, name string) (uid string) {
	t.Helper()
	return k.create(t, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}})
}

func (k *kubernetes) serviceAccount(t *testing.T, namespace, name string) (uid string) {
	t.Helper()
	return k.create(t, map[string]any{
		"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": name, "namespace": namespace},
	})
}

// recreate deletes a service account and creates one of the same name.
func (k *kubernetes) recreate(t *testing.T, namespace, name string) (uid string) {
	t.Helper()
	k.kubectl(t, "delete", "serviceaccount", name, "-n", namespace)
	return k.serviceAccount(t, namespace, name)
}

// pod creates a pod on a node, which is an object too.
func (k *kubernetes) pod(t *testing.T, namespace, name, serviceAccount, node string) (uid string) {
	t.Helper()
	return k.create(t, map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name, "namespace": namespace},
		"spec": map[string]any{
			"serviceAccountName": serviceAccount, "nodeName": node,
			"containers": []any{map[string]any{"name": "main", "image": "none"}},
		},
	})
}

func (k *kubernetes) node(t *testing.T, name string) (uid string) {
	t.Helper()
	return k.create(t, map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": name}})
}

// token makes a TokenRequest, with arguments of kubectl create token: --audience, --duration of at least ten minutes,
// and --bound-object-kind, --bound-object-name, --bound-object-uid.
func (k *kubernetes) token(t *testing.T, namespace, serviceAccount string, args ...string) string {
	t.Helper()
	return k.kubectl(t, append([]string{"create", "token", serviceAccount, "-n", namespace}, args...)...)
}

// boundTo are the arguments of a token that ends with the pod.
func boundTo(pod, uid string) []string {
	return []string{"--bound-object-kind", "Pod", "--bound-object-name", pod, "--bound-object-uid", uid}
}

// serviceAccountToken is the header and the claims of a token of a cluster.
type serviceAccountToken struct {
	Header map[string]any
	Claims struct {
		Issuer     string   `json:"iss"`
		Subject    string   `json:"sub"`
		Audience   []string `json:"aud"`
		ID         string   `json:"jti"`
		IssuedAt   int64    `json:"iat"`
		NotBefore  int64    `json:"nbf"`
		Expiry     int64    `json:"exp"`
		Kubernetes struct {
			Namespace      string
			ServiceAccount object
			Pod, Node      object
			WarnAfter      int64
		} `json:"kubernetes.io"`
	}
}

type object struct{ Name, UID string }

func readToken(t *testing.T, token string) (s serviceAccountToken) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a token: %q", token)
	}
	for n, v := range []any{&s.Header, &s.Claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[n])
		must(t, err)
		must(t, json.Unmarshal(text, v))
	}
	return s
}

// published are the key ids that the cluster publishes, for who may ask it.
func (k *kubernetes) published(t *testing.T) (ids []string) {
	t.Helper()
	var set struct {
		Keys []struct{ KID, ALG, USE string }
	}
	must(t, json.Unmarshal([]byte(k.kubectl(t, "get", "--raw", "/openid/v1/jwks")), &set))
	for _, key := range set.Keys {
		if key.ALG != "RS256" || key.USE != "sig" {
			t.Errorf("key %+v", key)
		}
		ids = append(ids, key.KID)
	}
	return ids
}

// What the preset kubernetes relies on, with no Watchword: how the tokens of a cluster look.
func TestKubernetesTokensAreAsThePresetSays(t *testing.T) {
	t.Parallel()
	k := startKubernetes(t, clusterIssuer)
	const audience = "https://auth.example.com"
	k.namespace(t, "shop")
	uid := k.serviceAccount(t, "shop", "m1")
	node := k.node(t, "n1")
	pod := k.pod(t, "shop", "m1-0", "m1", "n1")

	first := readToken(t, k.token(t, "shop", "m1", append(boundTo("m1-0", pod), "--audience", audience, "--duration", "10m")...))
	if _, typed := first.Header["typ"]; typed || first.Header["alg"] != "RS256" || len(first.Header) != 2 {
		t.Errorf("the header is %v, want alg RS256 and kid, and no typ", first.Header)
	}
	c := first.Claims
	if c.Issuer != clusterIssuer || c.Subject != "system:serviceaccount:shop:m1" || !slices.Equal(c.Audience, []string{audience}) ||
		c.Expiry-c.IssuedAt != 600 || c.NotBefore != c.IssuedAt || c.ID == "" || c.Kubernetes.Namespace != "shop" ||
		c.Kubernetes.ServiceAccount != (object{"m1", uid}) || c.Kubernetes.Pod != (object{"m1-0", pod}) || c.Kubernetes.Node != (object{"n1", node}) {
		t.Errorf("claims: %+v", c)
	}

	// What a pod has for the API server itself lives a year, for callers that do not read it again.
	own := readToken(t, k.token(t, "shop", "m1", append(boundTo("m1-0", pod), "--duration", "3607s")...)).Claims
	if !slices.Equal(own.Audience, []string{clusterIssuer}) || own.Expiry-own.IssuedAt != 365*24*60*60 || own.Kubernetes.WarnAfter-own.IssuedAt != 3607 {
		t.Errorf("claims for the API server: %+v", own)
	}
	// A caller may ask for more audiences than one.
	if two := readToken(t, k.token(t, "shop", "m1", "--audience", audience, "--audience", "other")).Claims; !slices.Equal(two.Audience, []string{audience, "other"}) {
		t.Errorf("claims for two audiences: %+v", two)
	}

	again := k.recreate(t, "shop", "m1")
	second := readToken(t, k.token(t, "shop", "m1", "--audience", audience)).Claims
	if again == uid || second.Subject != c.Subject || second.Kubernetes.ServiceAccount != (object{"m1", again}) {
		t.Errorf("of the service account that was created again: %+v, the first has the uid %s", second, uid)
	}
}

// A cluster that rotates publishes both keys, and signs with the new one. Only who has a credential learns them, and the
// issuer is a host that only the cluster resolves: the keys have to be uploaded.
func TestKubernetesPublishesTheNewKeyAndTheOld(t *testing.T) {
	t.Parallel()
	k := startKubernetes(t, clusterIssuer)
	k.namespace(t, "shop")
	k.serviceAccount(t, "shop", "m1")
	signer := func() string {
		kid, _ := readToken(t, k.token(t, "shop", "m1", "--audience", "m2")).Header["kid"].(string)
		return kid
	}
	var discovery struct {
		Issuer  string
		JWKSURI string `json:"jwks_uri"`
	}
	must(t, json.Unmarshal([]byte(k.kubectl(t, "get", "--raw", "/.well-known/openid-configuration")), &discovery))
	if discovery.Issuer != clusterIssuer {
		t.Errorf("discovery: %+v", discovery)
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/openid/v1/jwks"} {
		if status, body, err := k.anonymous(path); status != http.StatusForbidden {
			t.Errorf("%s without a credential: %d %s %v", path, status, body, err)
		}
	}
	old := signer()
	if ids := k.published(t); !slices.Equal(ids, []string{old}) {
		t.Errorf("published are %q, the signer is %s", ids, old)
	}
	k.rotate(t)
	if ids, now := k.published(t), signer(); len(ids) != 2 || now == old || !slices.Contains(ids, old) || !slices.Contains(ids, now) {
		t.Errorf("published are %q, the signer is %s and was %s", ids, now, old)
	}
}
