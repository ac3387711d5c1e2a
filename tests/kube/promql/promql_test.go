// Package promql evaluates what the chart asks of Prometheus, in Prometheus' own engine: the backlog that says how many pods
// there are, and the alerts. A module of its own, since its dependencies would move those of the servers.
package promql

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"sigs.k8s.io/yaml"
)

// What every rule of the chart is rendered by, in turn: some depend on who scales, and on the device.
var values = []string{`
kafka: { brokers: "kafka:9092" }
pipelines: { contracts: { partitions: 12, autoscaling: { by: keda, tokensPerDelivery: 777 } } }
metrics: { rules: { enabled: true } }
`, `
kafka: { brokers: "kafka:9092" }
pipelines: { contracts: { partitions: 12, replicas: 2, gpu: { enabled: true }, models: { from: volume, volume: { emptyDir: {} } } } }
metrics: { rules: { enabled: true } }
`}

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
	found := map[string]string{}
	for _, one := range values[1:] {
		render(t, one, found)
	}
	// Those of KEDA last: how many tokens a delivery has is theirs to say.
	render(t, values[0], found)
	return found
}

func render(t *testing.T, values string, found map[string]string) {
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
}

// after gives the values of the query after so long a time of the series, one sample a minute.
func after(t *testing.T, passed time.Duration, series, query string) []float64 {
	t.Helper()
	// The store begins with what it is given first, and takes nothing older.
	store := promqltest.LoadedStorage(t, "load 1m\n  beginning 0\n\nload 1m\n"+series)
	defer store.Close()
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 1_000_000)
	asked, err := engine.NewInstantQuery(t.Context(), store, nil, query, time.Unix(0, 0).Add(passed))
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
		found := after(t, time.Hour, row.series, asked["trigger"])
		if len(found) != len(row.tokens) || (len(found) == 1 && math.Abs(found[0]-row.tokens[0]) > 1e-6*row.tokens[0]+1e-6) {
			t.Errorf("%s: %v, not %v", row.what, found, row.tokens)
		}
	}
}

// week is a week of minutes, and a day more.
const week = 8 * 24 * 60

// series gives samples in the notation of promqltest: so many a minute before, and so many in the last minutes.
func series(before, last, minutes int) string {
	first := week - minutes
	return fmt.Sprintf("0+%dx%d %d+%dx%d", before, first, before*first+last, last, minutes-1)
}

func TestEveryAlertFiresAndRests(t *testing.T) {
	event := func(name, more, samples string) string {
		return of("flow_events_total", fmt.Sprintf(",event=%q", name)+more, samples)
	}
	committed := func(samples string) string { return event("committed", "", samples) }
	outcome := func(name, samples string) string {
		return of("outcomes_total", fmt.Sprintf(",outcome=%q", name), samples)
	}
	waits := of("lag_messages", "", "5x60") + of("in_flight_deliveries", "", "0x60")
	done := of("lag_messages", "", "0x60") + of("in_flight_deliveries", "", "0x60")
	children := func(samples string) string {
		return "  sluice_text_children_started_total{namespace=\"docs\"} " + samples + "\n" + of("deliveries_total", "", "0+10x60")
	}
	// One delivery a second: fifteen minutes of work are 900 messages.
	lag := func(samples string) string {
		return of("lag_messages", "", samples) + of("deliveries_total", "", "0+60x60")
	}
	// Ten findings a minute, and what their confidences add up to: a tenth of it is their mean.
	finds := func(label, sum, count string) string {
		more := fmt.Sprintf(",label=%q", label)
		return of("confidence_sum", more, sum) + of("confidence_count", more, count)
	}
	usual := finds("title", series(8, 8, 60), series(10, 10, 60))
	// Of sixty seconds of a GPU's minute so many are busy.
	gpu := func(pod string, busy int, lag string) string {
		device := func(name, samples string) string {
			return fmt.Sprintf("  sluice_%s{namespace=\"docs\",pod=%q,device=\"cuda\"} %s\n", name, pod, samples)
		}
		return device("session_busy_seconds_total", fmt.Sprintf("0+%dx60", busy)) + device("sessions", "1x60") +
			of("lag_messages", fmt.Sprintf(",pod=%q", pod), lag)
	}
	const hour, day, eight = time.Hour, 25 * time.Hour, week * time.Minute
	rows := map[string]struct {
		after        time.Duration
		fires, rests []string
	}{
		"SluiceFlowHeld":         {hour, []string{of("flow_held", `,pod="a"`, "0x60") + of("flow_held", `,pod="b"`, "1x60")}, []string{of("flow_held", "", "0x60")}},
		"SluiceFlowWaits":        {hour, []string{of("flow_waiting", "", "1x60")}, []string{of("flow_waiting", "", "0x60")}},
		"SluiceNothingCommitted": {hour, []string{waits + committed("7x60"), waits}, []string{waits + committed("0+1x60"), done + committed("7x60"), done}},
		// One that ended five minutes ago is no series any more.
		"SluiceNoWorker": {hour, []string{"", of("assigned_partitions", "", "12x50")}, []string{of("assigned_partitions", "", "0x60")}},
		"SluiceLagGrows": {hour, []string{lag("0+50x60")}, []string{
			// Much, but less by the minute; much and even; more, but little; from nothing, since no pod ran.
			lag("9000-50x60"), lag("3000x60"), lag("0+5x60"), lag("_x50 2000x9"), lag("0x60"),
		}},
		"SluiceGpuIdle": {hour, []string{gpu("a", 57, "100x60") + gpu("b", 6, "100x60")}, []string{
			// Busy; idle with nothing to do; idle, but soon done.
			gpu("a", 57, "100x60"), gpu("a", 6, "0x60"), gpu("a", 6, "1000-10x60"),
			// The lag is another pipeline's.
			strings.ReplaceAll(gpu("a", 6, "100x60"), `pipeline="contracts"`, `pipeline="notes"`),
		}},
		"SluiceLogRewound":  {hour, []string{event("rewound", "", "0x55 1x5")}, []string{event("rewound", "", "1x60")}},
		"SluiceManyRejects": {hour, []string{outcome("reject", "0+3x60") + outcome("record", "0+7x60")}, []string{outcome("reject", "0+1x60") + outcome("record", "0+9x60"), outcome("reject", "0x50 1+1x9") + outcome("record", "0x60")}},
		"SluiceRejectsJump": {day + hour, []string{
			// From 2 of 100 to 12; from none at all.
			outcome("reject", "0+2x1500 3012+12x59") + outcome("record", "0+98x1560"),
			outcome("reject", "_x1499 0+12x59") + outcome("record", "0+98x1560"),
		}, []string{
			// Always as many; a few more; four times as many, of 1 in 100; no day before.
			outcome("reject", "0+12x1560") + outcome("record", "0+88x1560"),
			outcome("reject", "0+10x1500 15012+12x59") + outcome("record", "0+90x1560"),
			outcome("reject", "0+1x1500 1504+4x59") + outcome("record", "0+99x1560"),
			outcome("reject", "_x1499 0+12x59") + outcome("record", "_x1499 0+98x59"),
		}},
		"SluiceConfidenceDrifts": {eight, []string{
			// Six hours ago from 0.8 to 0.6; three days ago, which only the week before shows; and up.
			usual + finds("parties", series(8, 6, 360), series(10, 10, 360)),
			finds("parties", series(8, 6, 3*24*60), series(10, 10, 3*24*60)),
			finds("parties", series(6, 8, 360), series(10, 10, 360)),
		}, []string{
			usual, "",
			// Little; a drift of fewer than 200 findings; findings that there were none of before.
			finds("parties", series(80, 74, 360), series(100, 100, 360)),
			finds("parties", "0+0.4x11160 4464.2+0.2x359", "0+0.5x11520"),
			finds("parties", "_x11160 0+6x359", "_x11160 0+10x359"),
		}},
		"SluiceRebalancesOften":      {hour, []string{event("assigned", `,pod="a"`, "0+1x60") + event("assigned", `,pod="b"`, "1x60")}, []string{event("assigned", `,pod="a"`, "0x45 1+1x14"), event("assigned", `,pod="a"`, "1x60")}},
		"SluicePartitionsUnassigned": {hour, []string{of("assigned_partitions", `,pod="a"`, "6x60") + of("assigned_partitions", `,pod="b"`, "5x60")}, []string{of("assigned_partitions", `,pod="a"`, "6x60") + of("assigned_partitions", `,pod="b"`, "6x60"), ""}},
		"SluiceTextChildrenDie":      {hour, []string{children("0+10x60")}, []string{children("0+1x60")}},
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
			if len(after(t, row.after, series, query)) == 0 {
				t.Errorf("%s does not fire for\n%s", name, series)
			}
		}
		for _, series := range row.rests {
			if found := after(t, row.after, series, query); len(found) != 0 {
				t.Errorf("%s fires (%v) for\n%s", name, found, series)
			}
		}
	}
	for name := range rows {
		t.Errorf("%s: the chart has no such alert", name)
	}
}

// Whoever is woken pastes them as they stand.
func TestEveryQueryOfTheRunbookIsOne(t *testing.T) {
	text, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```promql\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 10 {
		t.Fatalf("docs/operations.md has %d queries, too few to judge", len(blocks))
	}
	for _, block := range blocks {
		// Several of one block are parted by an empty line.
		for _, query := range strings.Split(strings.TrimSpace(block[1]), "\n\n") {
			if _, err := parser.NewParser(parser.Options{}).ParseExpr(query); err != nil {
				t.Errorf("docs/operations.md: %v in\n%s", err, query)
			}
		}
	}
}
