// Package promql evaluates what the chart asks of Prometheus, in Prometheus' own engine: the backlog that says how many pods
// there are, and the alerts. A module of its own, since its dependencies would move those of the servers.
package promql

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"sigs.k8s.io/yaml"
)

const values = `
kafka: { brokers: "kafka:9092" }
pipelines: { contracts: { partitions: 12, autoscaling: { by: keda, tokensPerDelivery: 777 } } }
metrics: { rules: { enabled: true } }
`

type rendered struct {
	Kind string
	Spec struct {
		Triggers []struct {
			Type     string
			Metadata map[string]string
		}
		Groups []struct {
			Rules []struct{ Alert, Record, Expr string }
		}
	}
}

// queries gives the expressions of the chart: by alert, by record, and the one of KEDA under its trigger.
func queries(t *testing.T) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	helm := filepath.Join(os.Getenv("SLUICE_KUBE_BIN"), "helm")
	out, err := exec.Command(helm, "template", "sluice", "../../../helm/sluice", "--namespace", "docs", "--values", file).Output()
	if err != nil {
		t.Fatalf("%v; run `make test-kube`", err)
	}
	found := map[string]string{}
	for _, part := range strings.Split("\n"+string(out), "\n---") {
		var one rendered
		if err := yaml.Unmarshal([]byte(part), &one); err != nil {
			t.Fatal(err)
		}
		for _, trigger := range one.Spec.Triggers {
			if one.Kind == "ScaledObject" && trigger.Type == "prometheus" {
				found["trigger"] = trigger.Metadata["query"]
			}
		}
		for _, group := range one.Spec.Groups {
			for _, rule := range group.Rules {
				found[rule.Alert+rule.Record] = rule.Expr
			}
		}
	}
	return found
}

// at60 gives the values of the query after an hour of the series, one sample a minute.
func at60(t *testing.T, series, query string) []float64 {
	t.Helper()
	store := promqltest.LoadedStorage(t, "load 1m\n"+series)
	defer store.Close()
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 1_000_000)
	asked, err := engine.NewInstantQuery(t.Context(), store, nil, query, time.Unix(0, 0).Add(time.Hour))
	if err != nil {
		t.Fatalf("%v in\n%s", err, query)
	}
	defer asked.Close()
	result := asked.Exec(t.Context())
	vector, err := result.Vector()
	if err != nil {
		t.Fatalf("%v in\n%s", err, query)
	}
	return numbers(vector)
}

func numbers(vector promql.Vector) []float64 {
	found := []float64{}
	for _, sample := range vector {
		found = append(found, sample.F)
	}
	return found
}

// of gives a series of the pipeline: its name, further labels, values in the notation of promqltest.
func of(name, more, samples string) string {
	return fmt.Sprintf("  sluice_%s{namespace=\"docs\",pipeline=\"contracts\"%s} %s\n", name, more, samples)
}

func TestTheBacklogIsInTokens(t *testing.T) {
	asked := queries(t)
	if asked["trigger"] == "" || strings.TrimSpace(asked["trigger"]) != strings.TrimSpace(asked["sluice:backlog_tokens"]) {
		t.Fatalf("KEDA and the recording rule ask differently:\n%s\n%s", asked["trigger"], asked["sluice:backlog_tokens"])
	}
	pod := func(pod, lag, tokens, deliveries, flying, flyingTokens string) string {
		more := fmt.Sprintf(",pod=%q", pod)
		return of("lag_messages", more, lag) + of("tokens_total", more, tokens) + of("deliveries_total", more, deliveries) +
			of("in_flight_deliveries", more, flying) + of("in_flight_tokens", more, flyingTokens)
	}
	elsewhere := "  sluice_lag_messages{namespace=\"other\",pipeline=\"contracts\"} 9999x60\n  sluice_lag_messages{namespace=\"docs\",pipeline=\"notes\"} 9999x60\n"
	for _, row := range []struct {
		what, series string
		tokens       []float64
	}{
		{"contracts", pod("a", "100x60", "0+20000x60", "0+1x60", "0x60", "5000x60"), []float64{2_005_000}},
		{"as many notes", pod("a", "100x60", "0+60x60", "0+1x60", "0x60", "0x60"), []float64{6_000}},
		{"two pods", pod("a", "100x60", "0+200x60", "0+1x60", "0x60", "0x60") + pod("b", "50x60", "0+400x60", "0+1x60", "0x60", "7x60"), []float64{45_007}},
		// 60 of the last hour are in flight beside 60 that are done: these alone have shown what they cost.
		{"many in flight", pod("a", "100x60", "0+100x60", "0+2x60", "60x60", "0x60"), []float64{10_000}},
		{"too few to tell", pod("a", "100x60", "0+1000x60", "0x50 1+1x9", "0x60", "0x60"), []float64{77_700}},
		{"just started", of("lag_messages", "", "100x60"), []float64{77_700}},
		{"another namespace, another pipeline", elsewhere, []float64{}},
		{"nothing waits", pod("a", "0x60", "0+200x60", "0+1x60", "0x60", "0x60"), []float64{0}},
	} {
		found := at60(t, row.series, asked["trigger"])
		if len(found) != len(row.tokens) || (len(found) == 1 && math.Abs(found[0]-row.tokens[0]) > 1e-6*row.tokens[0]+1e-6) {
			t.Errorf("%s: %v, not %v", row.what, found, row.tokens)
		}
	}
}

func TestEveryAlertFiresAndRests(t *testing.T) {
	committed := func(samples string) string { return of("flow_events_total", `,event="committed"`, samples) }
	outcome := func(name, samples string) string {
		return of("outcomes_total", fmt.Sprintf(",outcome=%q", name), samples)
	}
	waits := of("lag_messages", "", "5x60") + of("in_flight_deliveries", "", "0x60")
	done := of("lag_messages", "", "0x60") + of("in_flight_deliveries", "", "0x60")
	children := func(samples string) string {
		return "  sluice_text_children_started_total{namespace=\"docs\"} " + samples + "\n" + of("deliveries_total", "", "0+10x60")
	}
	rows := map[string]struct{ fires, rests []string }{
		"SluiceFlowHeld":             {[]string{of("flow_held", `,pod="a"`, "0x60") + of("flow_held", `,pod="b"`, "1x60")}, []string{of("flow_held", "", "0x60")}},
		"SluiceFlowWaits":            {[]string{of("flow_waiting", "", "1x60")}, []string{of("flow_waiting", "", "0x60")}},
		"SluiceNothingCommitted":     {[]string{waits + committed("7x60"), waits}, []string{waits + committed("0+1x60"), done + committed("7x60"), done}},
		"SluiceLogRewound":           {[]string{of("flow_events_total", `,event="rewound"`, "0x55 1x5")}, []string{of("flow_events_total", `,event="rewound"`, "1x60")}},
		"SluiceManyRejects":          {[]string{outcome("reject", "0+3x60") + outcome("record", "0+7x60")}, []string{outcome("reject", "0+1x60") + outcome("record", "0+9x60"), outcome("reject", "0x50 1+1x9") + outcome("record", "0x60")}},
		"SluicePartitionsUnassigned": {[]string{of("assigned_partitions", `,pod="a"`, "6x60") + of("assigned_partitions", `,pod="b"`, "5x60")}, []string{of("assigned_partitions", `,pod="a"`, "6x60") + of("assigned_partitions", `,pod="b"`, "6x60"), ""}},
		"SluiceTextChildrenDie":      {[]string{children("0+10x60")}, []string{children("0+1x60")}},
	}
	for name, query := range queries(t) {
		if !strings.HasPrefix(name, "Sluice") {
			continue
		}
		row, is := rows[name]
		if !is {
			t.Errorf("%s: has no row here", name)
			continue
		}
		delete(rows, name)
		for _, series := range row.fires {
			if len(at60(t, series, query)) == 0 {
				t.Errorf("%s does not fire for\n%s", name, series)
			}
		}
		for _, series := range row.rests {
			if found := at60(t, series, query); len(found) != 0 {
				t.Errorf("%s fires (%v) for\n%s", name, found, series)
			}
		}
	}
	for name := range rows {
		t.Errorf("%s: the chart has no such alert", name)
	}
}
