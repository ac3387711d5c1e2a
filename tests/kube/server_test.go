package kube

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// server is a kube-apiserver with its etcd: it judges objects, and nothing acts on them.
type server struct{ config string }

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// start gives the log of a program, and what closes when it has ended.
func start(t *testing.T, name string, args ...string) (*bytes.Buffer, chan struct{}) {
	t.Helper()
	var log bytes.Buffer
	ended := make(chan struct{})
	command := exec.Command(tool(t, name), args...)
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = command.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
	})
	return &log, ended
}

func write(t *testing.T, path string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func startServer(t *testing.T) server {
	t.Helper()
	folder := t.TempDir()
	etcd := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	peer := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	start(t, "etcd", "--data-dir", filepath.Join(folder, "etcd"), "--log-level=error", "--unsafe-no-fsync",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	signing := write(t, filepath.Join(folder, "signing.pem"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	tokens := write(t, filepath.Join(folder, "tokens.csv"), []byte("test-token,tester,1,system:masters\n"))
	port := freePort(t)
	log, ended := start(t, "kube-apiserver", "--etcd-servers", etcd, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		"--secure-port", fmt.Sprint(port), "--cert-dir", filepath.Join(folder, "certs"), "--token-auth-file", tokens,
		"--endpoint-reconciler-type=none", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file", signing, "--service-account-key-file", signing,
		// No controller makes service accounts here, and pods are judged all the same.
		"--disable-admission-plugins=ServiceAccount")
	config := write(t, filepath.Join(folder, "config"), []byte(fmt.Sprintf(`
apiVersion: v1
kind: Config
clusters: [{ name: c, cluster: { server: "https://127.0.0.1:%d", insecure-skip-tls-verify: true }}]
users: [{ name: u, user: { token: test-token }}]
contexts: [{ name: x, context: { cluster: c, user: u, namespace: docs }}]
current-context: x
`, port)))
	up := server{config}
	end := time.After(3 * time.Minute)
	for {
		if out, _, err := up.kubectl(t, "", "get", "--raw", "/readyz"); err == nil && out == "ok" {
			break
		}
		select {
		case <-ended:
			text := log.String()
			t.Fatalf("kube-apiserver has ended\n%s", text[max(0, len(text)-2000):])
		case <-end:
			// It goes on writing: only what has ended is read.
			t.Fatal("kube-apiserver is not ready after three minutes")
		case <-time.After(time.Second):
		}
	}
	// What a pod may not do under the strictest standard is an error, and a warning where a template says it.
	up.must(t, `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "docs", "labels": {
		"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}}}`,
		"apply", "--server-side", "-f", "-")
	crds, err := filepath.Glob(filepath.Join(os.Getenv("SLUICE_KUBE_BIN"), "crds", "*.yaml"))
	if err != nil || len(crds) != 3 {
		t.Fatalf("%d CRDs, not 3; run `make test-kube`", len(crds))
	}
	for _, crd := range crds {
		up.must(t, "", "apply", "--server-side", "-f", crd)
		up.must(t, "", "wait", "--for=condition=Established", "--timeout=60s", "-f", crd)
	}
	return up
}

func (up server) kubectl(t *testing.T, stdin string, args ...string) (string, string, error) {
	t.Helper()
	return run(t, stdin, tool(t, "kubectl"), append([]string{"--kubeconfig", up.config}, args...)...)
}

func (up server) must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, aside, err := up.kubectl(t, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, out, aside)
	}
	return out
}

// judged gives what the server has against the objects, warnings too.
func (up server) judged(t *testing.T, text string) string {
	t.Helper()
	_, aside, err := up.kubectl(t, text, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
	if err == nil && !strings.Contains(aside, "Warning") {
		return ""
	}
	return aside
}

// pods gives the pods that the StatefulSets and Jobs would make.
func pods(t *testing.T, text string) string {
	t.Helper()
	var all strings.Builder
	for name, spec := range podsOf(t, text) {
		pod := corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
		// The admission of runtime classes asks for one that is there.
		pod.Spec.RuntimeClassName = nil
		written, err := yaml.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("---\n" + string(written))
	}
	return all.String()
}

func TestServerTakesTheChart(t *testing.T) {
	up := startServer(t)
	t.Run("examples", func(t *testing.T) {
		for name, values := range examples(t) {
			text := mustRender(t, values)
			if against := up.judged(t, text); against != "" {
				t.Errorf("%s: %s", name, against)
			}
			if against := up.judged(t, pods(t, text)); against != "" {
				t.Errorf("%s, its pods: %s", name, against)
			}
			file := fmt.Sprintf("%s/examples/%s.yaml", chart, name)
			out, aside, err := run(t, "", tool(t, "helm"), "install", "sluice", chart, "--kubeconfig", up.config,
				"--namespace", "docs", "--values", file, "--dry-run=server")
			if err != nil {
				t.Errorf("helm install %s: %s%s", name, out, aside)
			}
		}
	})
	t.Run("what is wrong is refused", func(t *testing.T) {
		text := mustRender(t, examples(t)["contracts"])
		for _, row := range []struct{ good, bad, says string }{
			{"podManagementPolicy: Parallel", "podManagementPolicy: Together", "podManagementPolicy"},
			{"maxReplicaCount: 12", "maxReplicaCount: twelve", "maxReplicaCount"},
			{"serviceName:", "servicename:", "servicename"},
			{"readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true", "readOnlyRootFileSystem"},
			{"interval: 30s", "interval: often", "interval"},
			{"runAsNonRoot: true", "runAsNonRoot: false", "PodSecurity"},
		} {
			broken := strings.ReplaceAll(text, row.good, row.bad)
			if broken == text {
				t.Errorf("the chart has no `%s`", row.good)
			} else if against := up.judged(t, broken); !strings.Contains(against, row.says) {
				t.Errorf("%s: %s", row.bad, against)
			}
		}
		set := one[appsv1.StatefulSet](t, text, "StatefulSet")
		if against := up.judged(t, strings.ReplaceAll(pods(t, text), "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true")); !strings.Contains(against, "violates PodSecurity") {
			t.Errorf("a pod of %s with privilege: %s", set.Name, against)
		}
	})
	t.Run("kubeconform", func(t *testing.T) { conform(t, schemas(t, up)) })
}

// schemas writes a JSON Schema for each kind that the server serves, as kubeconform looks for them; gives the folder.
func schemas(t *testing.T, up server) string {
	t.Helper()
	folder := t.TempDir()
	var paths struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	if err := json.Unmarshal([]byte(up.must(t, "", "get", "--raw", "/openapi/v3")), &paths); err != nil {
		t.Fatal(err)
	}
	count := 0
	for path, at := range paths.Paths {
		if !strings.HasPrefix(path, "api") {
			continue
		}
		var document struct {
			Components struct{ Schemas map[string]map[string]any }
		}
		if err := json.Unmarshal([]byte(up.must(t, "", "get", "--raw", at.ServerRelativeURL)), &document); err != nil {
			t.Fatal(err)
		}
		for _, one := range document.Components.Schemas {
			_, isOpen := one["additionalProperties"]
			if _, has := one["properties"]; has && !isOpen {
				one["additionalProperties"] = false
			}
		}
		for name, one := range document.Components.Schemas {
			kinds, _ := one["x-kubernetes-group-version-kind"].([]any)
			// Options of calls belong to every group.
			if len(kinds) != 1 {
				continue
			}
			kind := kinds[0].(map[string]any)
			whole, err := json.Marshal(map[string]any{"$ref": "#/components/schemas/" + name, "components": map[string]any{"schemas": document.Components.Schemas}})
			if err != nil {
				t.Fatal(err)
			}
			group := fmt.Sprintf("-%s", kind["group"])
			if group == "-" {
				group = ""
			}
			file := fmt.Sprintf("%s%s-%s.json", strings.ToLower(kind["kind"].(string)), group, kind["version"])
			write(t, filepath.Join(folder, file), whole)
			count++
		}
	}
	if count < 100 {
		t.Fatalf("%d schemas, too few for a whole server", count)
	}
	return folder
}

func conform(t *testing.T, folder string) {
	judge := func(text string) (string, error) {
		// Two patterns: the core group has no name.
		out, aside, err := run(t, text, tool(t, "kubeconform"), "-strict", "-summary",
			"-schema-location", folder+"/{{.ResourceKind}}-{{.ResourceAPIVersion}}.json",
			"-schema-location", folder+"/{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json", "-")
		return out + aside, err
	}
	for name, values := range examples(t) {
		text := mustRender(t, values)
		out, err := judge(text)
		whole := fmt.Sprintf("%d resources", len(objects(t, text)))
		if err != nil || !strings.Contains(out, whole) || !strings.Contains(out, "Skipped: 0") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		for _, row := range [][2]string{{"podManagementPolicy: Parallel", "podManagementPolicies: Parallel"}, {"clusterIP: None", "clusterIP: [None]"}} {
			if out, err := judge(strings.ReplaceAll(text, row[0], row[1])); err == nil {
				t.Errorf("%s with `%s` passes: %s", name, row[1], out)
			}
		}
	}
}
