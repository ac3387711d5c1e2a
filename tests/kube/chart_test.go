// Package kube tests the chart with the tools of those who install it: what it renders, and what it refuses.
package kube

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const (
	root  = "../.."
	chart = root + "/helm/sluice"
)

// tool gives the path of a program that scripts/test-kube has built.
func tool(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(os.Getenv("SLUICE_KUBE_BIN"), name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("SLUICE_KUBE_BIN: there is no %s; run `make test-kube`", path)
	}
	return path
}

// run gives both streams apart.
func run(t *testing.T, stdin string, name string, args ...string) (string, string, error) {
	t.Helper()
	command := exec.Command(name, args...)
	var out, aside bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &out, &aside
	err := command.Run()
	return out.String(), aside.String(), err
}

// render gives what the chart makes of the values; extra are flags of helm.
func render(t *testing.T, values string, extra ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"template", "sluice", chart, "--namespace", "docs", "--values", file}, extra...)
	out, aside, err := run(t, "", tool(t, "helm"), args...)
	if err != nil {
		return "", fmt.Errorf("%s", aside)
	}
	return out, nil
}

func mustRender(t *testing.T, values string, extra ...string) string {
	t.Helper()
	out, err := render(t, values, extra...)
	if err != nil {
		t.Fatalf("%v\nfor\n%s", err, values)
	}
	return out
}

type object struct {
	Kind     string
	Metadata struct{ Name string }
	text     string
}

// objects takes a rendered text apart.
func objects(t *testing.T, text string) []object {
	t.Helper()
	var found []object
	for _, part := range strings.Split("\n"+text, "\n---") {
		var one object
		if err := yaml.Unmarshal([]byte(part), &one); err != nil {
			t.Fatalf("%v in\n%s", err, part)
		}
		if one.Kind != "" {
			one.text = part
			found = append(found, one)
		}
	}
	if len(found) == 0 {
		t.Fatal("nothing was rendered")
	}
	return found
}

func decode[T any](t *testing.T, one object) T {
	t.Helper()
	var typed T
	if err := yaml.UnmarshalStrict([]byte(one.text), &typed); err != nil {
		t.Fatalf("%s %s: %v", one.Kind, one.Metadata.Name, err)
	}
	return typed
}

func ofKind[T any](t *testing.T, text, kind string) []T {
	t.Helper()
	var found []T
	for _, one := range objects(t, text) {
		if one.Kind == kind {
			found = append(found, decode[T](t, one))
		}
	}
	return found
}

func one[T any](t *testing.T, text, kind string) T {
	t.Helper()
	found := ofKind[T](t, text, kind)
	if len(found) != 1 {
		t.Fatalf("%d of kind %s, not one, in\n%s", len(found), kind, text)
	}
	return found[0]
}

// examples gives the values of examples/ by name.
func examples(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(chart + "/examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	found := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimSuffix(filepath.Base(file), ".yaml")] = string(text)
	}
	return found
}

// of gives values of one pipeline with so much under it.
func of(pipeline string) string {
	return "kafka: { brokers: 'kafka:9092' }\npipelines:\n  contracts: " + pipeline + "\n"
}

func podsOf(t *testing.T, text string) map[string]corev1.PodSpec {
	t.Helper()
	pods := map[string]corev1.PodSpec{}
	for _, set := range ofKind[appsv1.StatefulSet](t, text, "StatefulSet") {
		pods[set.Name] = set.Spec.Template.Spec
	}
	for _, job := range ofKind[batchv1.Job](t, text, "Job") {
		pods[job.Name] = job.Spec.Template.Spec
	}
	return pods
}

func TestEveryExampleIsWellFormed(t *testing.T) {
	for name := range examples(t) {
		file := fmt.Sprintf("%s/examples/%s.yaml", chart, name)
		out, aside, err := run(t, "", tool(t, "helm"), "lint", "--strict", chart, "--values", file)
		if err != nil {
			t.Errorf("%s: %s%s", name, out, aside)
		}
	}
}

func TestEveryPipelineHasAnExample(t *testing.T) {
	folders, err := filepath.Glob(root + "/pipelines/*/pipeline.yaml")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no pipelines: %v", err)
	}
	given := examples(t)
	for _, folder := range folders {
		name := filepath.Base(filepath.Dir(folder))
		if !strings.Contains(given[name], "\n  "+name+":") {
			t.Errorf("helm/sluice/examples/%s.yaml is missing, or has no pipeline %s", name, name)
		}
	}
	if !strings.Contains(given["gpu"], "enabled: true") {
		t.Error("helm/sluice/examples/gpu.yaml is missing, or has no GPU")
	}
}

// shortened leaves out what changes with every pipeline and is tested by itself: the files and their hash.
func shortened(text string) string {
	var kept []string
	skipped := 0
	for _, line := range strings.Split(text, "\n") {
		deep := strings.HasPrefix(line, "    ") || line == ""
		if skipped > 0 && deep {
			skipped++
			continue
		}
		skipped = 0
		if at, _, is := strings.Cut(line, "sluice/config-sha256: "); is {
			line = at + "sluice/config-sha256: (of the files)"
		}
		kept = append(kept, line)
		if strings.HasSuffix(line, ".yaml: |") || strings.HasSuffix(line, ".avsc: |") || strings.HasSuffix(line, ".json: |") {
			skipped = 1
		}
	}
	return strings.Join(kept, "\n")
}

// After a change that is meant: SLUICE_BLESS=1 make test-kube, and read what git says.
func TestSnapshots(t *testing.T) {
	for name, values := range examples(t) {
		file := "snapshots/" + name + ".yaml"
		now := shortened(mustRender(t, values))
		if os.Getenv("SLUICE_BLESS") == "1" {
			if err := os.WriteFile(file, []byte(now), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		was, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v; SLUICE_BLESS=1 writes it", err)
			continue
		}
		old, new := strings.Split(string(was), "\n"), strings.Split(now, "\n")
		for at := 0; at < len(old) || at < len(new); at++ {
			if at >= len(old) || at >= len(new) || old[at] != new[at] {
				t.Errorf("tests/kube/%s:%d: the chart renders otherwise; SLUICE_BLESS=1 takes it", file, at+1)
				break
			}
		}
	}
}

func TestFilesAndHash(t *testing.T) {
	hash := func(extra ...string) string {
		set := one[appsv1.StatefulSet](t, mustRender(t, of("{ replicas: 1 }"), extra...), "StatefulSet")
		return set.Spec.Template.Annotations["sluice/config-sha256"]
	}
	usual := hash()
	if len(usual) != 64 {
		t.Fatalf("the hash is `%s`", usual)
	}
	if other := hash("--set", "pipelines.contracts.replicas=2"); other != usual {
		t.Error("another count of pods rolls them")
	}
	source, err := os.ReadFile(root + "/pipelines/contracts/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "pipeline.yaml")
	text := strings.Replace(string(source), "parts_max: 100", "parts_max: 101", 1)
	if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	given := []string{"--set-file", `pipelines.contracts.files.pipeline\.yaml=` + changed}
	if hash(given...) == usual {
		t.Error("a changed pipeline does not roll the pods")
	}
	data := one[corev1.ConfigMap](t, mustRender(t, of("{}"), given...), "ConfigMap").Data
	if data["pipeline.yaml"] != text {
		t.Errorf("the pipeline arrives changed:\n%s", data["pipeline.yaml"])
	}
	copied := one[corev1.ConfigMap](t, mustRender(t, of("{}")), "ConfigMap").Data
	schema, err := os.ReadFile(root + "/pipelines/contracts/record.avsc")
	if err != nil {
		t.Fatal(err)
	}
	if copied["pipeline.yaml"] != string(source) || copied["record.avsc"] != string(schema) {
		t.Error("what `make helm` copied is not what pipelines/contracts has; run `make helm`")
	}
}

func TestMakeHelmRefusesWhatAConfigMapCannotHold(t *testing.T) {
	folder := t.TempDir()
	pipeline := "name: large\n"
	schema := strings.Repeat(" ", 1<<20-len(pipeline))
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("pipeline.yaml", pipeline)
	write("record.avsc", schema+" ")
	_, aside, err := run(t, "", root+"/scripts/helm-pipelines", folder)
	if err == nil || !strings.Contains(aside, "1048577 bytes, and a ConfigMap takes 1048576") {
		t.Fatalf("%v: %s", err, aside)
	}
	_, err = render(t, of("{}"), "--set-file", `pipelines.contracts.files.pipeline\.yaml=`+filepath.Join(folder, "pipeline.yaml"),
		"--set-file", `pipelines.contracts.files.record\.avsc=`+filepath.Join(folder, "record.avsc"))
	if err == nil || !strings.Contains(err.Error(), "a ConfigMap takes 1048576") {
		t.Fatalf("%v", err)
	}
}
