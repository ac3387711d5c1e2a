package kube

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestThePodOutlastsTheDrain(t *testing.T) {
	check := func(name, text string) {
		for _, set := range ofKind[appsv1.StatefulSet](t, text, "StatefulSet") {
			pod := set.Spec.Template.Spec
			drain, err := strconv.ParseInt(variable(pod.Containers[0], "SLUICE_DRAIN_DEADLINE_MS"), 10, 64)
			if err != nil {
				t.Errorf("%s: SLUICE_DRAIN_DEADLINE_MS: %v", name, err)
				continue
			}
			grace := *pod.TerminationGracePeriodSeconds * 1000
			if grace < drain+15_000 || grace >= drain+16_000 {
				t.Errorf("%s: %d ms to drain, killed after %d ms", name, drain, grace)
			}
		}
	}
	for name, values := range examples(t) {
		check(name, mustRender(t, values))
	}
	for _, drain := range []int{0, 1, 999, 1000, 1001, 44_999, 45_000, 45_001, 3_600_000} {
		check(strconv.Itoa(drain), mustRender(t, of(fmt.Sprintf("{ drainDeadlineMs: %d }", drain))))
	}
}

func variable(container corev1.Container, name string) string {
	for _, one := range container.Env {
		if one.Name == name {
			return one.Value
		}
	}
	return ""
}

type scaled struct {
	Spec struct {
		MinReplicaCount, MaxReplicaCount int64
		Triggers                         []struct {
			Type     string
			Metadata map[string]string
		}
	}
}

// most gives the most pods that the rendered text lets a pipeline have.
func most(t *testing.T, text string) int64 {
	t.Helper()
	set := one[appsv1.StatefulSet](t, text, "StatefulSet")
	for _, one := range objects(t, text) {
		switch one.Kind {
		case "ScaledObject":
			var object scaled
			if err := yaml.Unmarshal([]byte(one.text), &object); err != nil {
				t.Fatal(err)
			}
			if set.Spec.Replicas != nil {
				t.Error("StatefulSet and ScaledObject both say how many pods there are")
			}
			return object.Spec.MaxReplicaCount
		case "HorizontalPodAutoscaler":
			if set.Spec.Replicas != nil {
				t.Error("StatefulSet and HPA both say how many pods there are")
			}
			return int64(decode[autoscalingv2.HorizontalPodAutoscaler](t, one).Spec.MaxReplicas)
		}
	}
	return int64(*set.Spec.Replicas)
}

func TestNeverMorePodsThanPartitions(t *testing.T) {
	for _, partitions := range []int64{1, 2, 6, 100} {
		for _, by := range []string{"none", "keda", "hpa"} {
			for _, asked := range []int64{0, 1, 2, 6, 7, 100, 1000} {
				pipeline := fmt.Sprintf("{ partitions: %d, replicas: %d, autoscaling: { by: %s, min: 1, max: %d } }", partitions, asked, by, asked)
				if by == "none" {
					pipeline = fmt.Sprintf("{ partitions: %d, replicas: %d }", partitions, asked)
				}
				text, err := render(t, of(pipeline))
				if asked > partitions {
					if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d is more than partitions: %d", asked, partitions)) {
						t.Errorf("%s: %v", pipeline, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", pipeline, err)
					continue
				}
				wanted := asked
				if asked == 0 && by != "none" {
					wanted = partitions
				}
				if found := most(t, text); found != wanted || found > partitions {
					t.Errorf("%s: %d pods", pipeline, found)
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("a", 40)
	for _, row := range []struct{ values, says string }{
		{"{}", "/kafka/brokers"},
		{"kafka: { brokers: 'kafka:9092' }", "/pipelines"},
		{"kafka: { brokers: kafka }\npipelines: { contracts: {} }", "/kafka/brokers"},
		{of("{ replica: 3 }"), "additional properties 'replica' not allowed"},
		{of("{ gpu: { count: 0 } }"), "/pipelines/contracts/gpu/count"},
		{of("{ resources: { limits: { cpu: '1' }}}") + "worker: { resources: { limits: { memory: null }}}", "memory"},
		{"kafka: { brokers: 'kafka:9092' }\npipelines: { leases: {} }", "the chart has no pipelines/leases/pipeline.yaml; run `make helm`"},
		{"kafka: { brokers: 'kafka:9092' }\npipelines: { leases: { files: { pipeline.yaml: 'name: rents' }}}", "named `rents`; use that name as the key"},
		{"kafka: { brokers: 'kafka:9092' }\npipelines: { leases: { files: { pipeline.yaml: 'name: [' }}}", "pipeline.yaml is no YAML"},
		{"kafka: { brokers: 'kafka:9092' }\npipelines: { clinical-notes: {} }", "secretFiles.SLUICE_REDACT_KEY_FILE: is missing"},
		{"kafka: { brokers: 'kafka:9092' }\npipelines: { " + long + ": { files: { pipeline.yaml: 'name: " + long + "' }}}\nnameless: 1", "nameless"},
		{"kafka: { brokers: 'kafka:9092' }\npipelines: { " + long + "abcdef: { files: { pipeline.yaml: 'name: " + long + "abcdef' }}}", "more than 52 characters"},
		{of("{ autoscaling: { by: hpa, min: 0 } }"), "pipelines.contracts.autoscaling.min: 0"},
		{of("{ autoscaling: { by: keda, min: 4, max: 3 } }"), "autoscaling.min: 4 is more than max: 3"},
		{"kafka: { brokers: 'kafka:9092' }\npipelines: { leases: { files: { pipeline.yaml: \"name: leases\\nmodel: /models/leases\" }}}", "give ../../models/NAME"},
		{of("{ gpu: { enabled: true } }"), "its int8 models are refused on a GPU"},
		{of("{ models: { from: volume } }"), "pipelines.contracts.models.volume: is empty"},
		{of("{ models: { from: oci } }"), "pipelines.contracts.models.oci: give image and reference"},
		{of("{ models: { from: store, store: { image: x } } }"), "pipelines.contracts.models.store: give image and source"},
	} {
		if _, err := render(t, row.values); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("not `%s`, but %v\nfor\n%s", row.says, err, row.values)
		}
	}
}

func TestPodsHaveNoPrivilege(t *testing.T) {
	for name, values := range examples(t) {
		for pod, spec := range podsOf(t, mustRender(t, values)) {
			at := name + ": " + pod
			of := spec.SecurityContext
			if of == nil || !*of.RunAsNonRoot || *of.RunAsUser == 0 || of.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s: %+v", at, of)
			}
			if *spec.AutomountServiceAccountToken || *spec.EnableServiceLinks || spec.HostNetwork || spec.HostPID || spec.HostIPC {
				t.Errorf("%s: reaches into the host or the API", at)
			}
			for _, container := range append(spec.InitContainers, spec.Containers...) {
				is := container.SecurityContext
				if is == nil || *is.AllowPrivilegeEscalation || *is.Privileged || !*is.ReadOnlyRootFilesystem ||
					len(is.Capabilities.Drop) != 1 || is.Capabilities.Drop[0] != "ALL" || len(is.Capabilities.Add) != 0 {
					t.Errorf("%s: %s: %+v", at, container.Name, is)
				}
				if container.Resources.Limits.Memory().IsZero() || container.Resources.Requests.Memory().IsZero() {
					t.Errorf("%s: %s has no bound of memory", at, container.Name)
				}
			}
			for _, volume := range spec.Volumes {
				if volume.HostPath != nil {
					t.Errorf("%s: a path of the host", at)
				}
			}
		}
	}
}

func TestSecretsAreReferences(t *testing.T) {
	for name, values := range examples(t) {
		text := mustRender(t, values)
		if len(ofKind[corev1.Secret](t, text, "Secret")) != 0 {
			t.Errorf("%s: the chart makes a secret", name)
		}
		var given struct {
			SecretFiles map[string]struct{ Secret, Key string }
		}
		if err := yaml.Unmarshal([]byte(values), &given); err != nil || len(given.SecretFiles) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		for pod, spec := range podsOf(t, text) {
			mounted := map[string]bool{}
			for _, volume := range spec.Volumes {
				if volume.Projected == nil {
					continue
				}
				for _, source := range volume.Projected.Sources {
					mounted[source.Secret.Name+"/"+source.Secret.Items[0].Key+"/"+source.Secret.Items[0].Path] = true
				}
			}
			for file, from := range given.SecretFiles {
				path := variable(spec.Containers[0], file)
				if path != "/run/sluice/secrets/"+file || !mounted[from.Secret+"/"+from.Key+"/"+file] {
					t.Errorf("%s: %s: %s is `%s`, mounted are %v", name, pod, file, path, mounted)
				}
			}
		}
	}
}

func sources(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".rs") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// Names of variables, flags and metrics are the program's.
func TestTheChartSpeaksTheProgramsLanguage(t *testing.T) {
	settings := sources(t, root+"/src")
	metrics := known(t)
	for name, values := range examples(t) {
		text := mustRender(t, values)
		for pod, spec := range podsOf(t, text) {
			for _, one := range spec.Containers[0].Env {
				name := strings.TrimSuffix(one.Name, "_FILE")
				if strings.HasPrefix(name, "SLUICE_") && !strings.HasPrefix(name, "SLUICE_KAFKA_") && !strings.Contains(settings, `"`+name+`"`) {
					t.Errorf("%s: src/ reads no %s", pod, one.Name)
				}
			}
		}
		for _, job := range ofKind[batchv1.Job](t, text, "Job") {
			for _, arg := range job.Spec.Template.Spec.Containers[0].Args {
				flag, _, is := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
				if is && !strings.Contains(settings, "pub "+strings.ReplaceAll(flag, "-", "_")+": ") {
					t.Errorf("%s: src/ has no flag --%s", job.Name, flag)
				}
			}
		}
		if used := strings.Count(text, "sluice_"); name == "contracts" && used < 20 {
			t.Errorf("%d names of metrics, too few to judge", used)
		}
		for _, one := range unknown(text, metrics) {
			t.Errorf("%s: docs/metrics.md has no %s", name, one)
		}
	}
}

// known gives the names of docs/metrics.md, which is made from the program's own table.
func known(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, found := range regexp.MustCompile("`(sluice_[a-z_]+)").FindAllStringSubmatch(string(text), -1) {
		names[found[1]] = true
	}
	if !names["sluice_lag_messages"] || !names["sluice_stage_seconds"] {
		t.Fatalf("docs/metrics.md is written otherwise: %v", names)
	}
	return names
}

// unknown gives the metrics that a text names and the program does not have.
func unknown(text string, metrics map[string]bool) []string {
	var found []string
	for _, one := range regexp.MustCompile(`\bsluice_[a-z_]+`).FindAllString(text, -1) {
		// A histogram has its name with three endings; the other is the name that an operator gives an external metric.
		plain := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(one, "")
		if !metrics[one] && !metrics[plain] && one != "sluice_backlog_tokens" {
			found = append(found, one)
		}
	}
	return found
}

// Every key that the schema explains has a value in values.yaml, and the other way round (helm lint sees to that).
func TestTheSchemaIsComplete(t *testing.T) {
	type schema struct {
		Ref, Description     string
		Type                 any
		Properties           map[string]json.RawMessage
		AdditionalProperties json.RawMessage
		Definitions          map[string]json.RawMessage
	}
	read := func(text []byte) schema {
		var one schema
		var raw map[string]json.RawMessage
		if json.Unmarshal(text, &one) != nil || json.Unmarshal(text, &raw) != nil {
			t.Fatalf("no schema: %s", text)
		}
		if ref, is := raw["$ref"]; is {
			_ = json.Unmarshal(ref, &one.Ref)
		}
		return one
	}
	text, err := os.ReadFile(chart + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	top := read(text)
	var values map[string]any
	defaults, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(defaults, &values); err != nil {
		t.Fatal(err)
	}
	var walk func(at string, is schema, value any)
	walk = func(at string, is schema, value any) {
		if is.Ref != "" {
			is = read(top.Definitions[strings.TrimPrefix(is.Ref, "#/definitions/")])
		}
		if at != "" && is.Description == "" {
			t.Errorf("%s: is not described", at)
		}
		if is.Type == "object" && is.AdditionalProperties == nil {
			t.Errorf("%s: takes any key without saying so", at)
		}
		given, _ := value.(map[string]any)
		for key, property := range is.Properties {
			below, is := given[key]
			if !is && at+key != "global" {
				t.Errorf("%s%s: has no value in values.yaml", at, key)
			}
			walk(at+key+".", read(property), below)
		}
	}
	walk("", top, values)
}

func TestTheChartNamesTheProgramsVersion(t *testing.T) {
	version := func(file, pattern string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(pattern).FindStringSubmatch(string(text))
		if found == nil {
			t.Fatalf("%s names no version", file)
		}
		return found[1]
	}
	program := version(root+"/Cargo.toml", `(?m)^version = "(.*)"`)
	if named := version(chart+"/Chart.yaml", `(?m)^appVersion: "(.*)"`); named != program {
		t.Errorf("helm/sluice/Chart.yaml: appVersion: %s, and Cargo.toml has %s", named, program)
	}
}

func TestBacklogIsWeighedInTokens(t *testing.T) {
	text := mustRender(t, of("{ partitions: 12, autoscaling: { by: keda, min: 0, tokensPerDelivery: 20000 } }"))
	for _, one := range objects(t, text) {
		if one.Kind != "ScaledObject" {
			continue
		}
		var object scaled
		if err := yaml.Unmarshal([]byte(one.text), &object); err != nil {
			t.Fatal(err)
		}
		triggers := object.Spec.Triggers
		if len(triggers) != 2 || triggers[0].Type != "prometheus" || triggers[1].Type != "kafka" {
			t.Fatalf("%+v", triggers)
		}
		for _, part := range []string{"sluice_lag_messages", "sluice_tokens_total", "sluice_deliveries_total", "or vector(20000)", `namespace="docs",pipeline="contracts"`} {
			if !strings.Contains(triggers[0].Metadata["query"], part) {
				t.Errorf("the query has no %s", part)
			}
		}
		if group, topic := triggers[1].Metadata["consumerGroup"], triggers[1].Metadata["topic"]; group != "sluice.contracts" || topic != "contracts.documents" {
			t.Errorf("lag of %s in %s", group, topic)
		}
		return
	}
	t.Error("no ScaledObject")
}
