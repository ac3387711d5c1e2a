package kube

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const runbook = "docs/operations.md"

type rules struct {
	Spec struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
}

func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(root + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchor gives the place of a heading as forges make it of its words.
func anchor(heading string) string {
	return strings.ReplaceAll(strings.ToLower(heading), " ", "-")
}

// Whoever is woken by an alert finds its page by the link that came with it, and no page is of an alert that is gone.
func TestEveryAlertHasItsSection(t *testing.T) {
	headings := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^## (Sluice\w+)$`).FindAllStringSubmatch(document(t, runbook), -1) {
		headings[found[1]] = true
	}
	alerts := map[string]bool{}
	for name, values := range examples(t) {
		for _, object := range objects(t, mustRender(t, values)) {
			if object.Kind != "PrometheusRule" {
				continue
			}
			var one rules
			if err := yaml.Unmarshal([]byte(object.text), &one); err != nil {
				t.Fatal(err)
			}
			for _, group := range one.Spec.Groups {
				for _, rule := range group.Rules {
					if rule.Alert == "" {
						continue
					}
					alerts[rule.Alert] = true
					if wanted := runbook + "#" + anchor(rule.Alert); rule.Annotations["runbook"] != wanted {
						t.Errorf("%s: %s: runbook: `%s`, not %s", name, rule.Alert, rule.Annotations["runbook"], wanted)
					}
				}
			}
		}
	}
	if len(alerts) < 10 {
		t.Fatalf("%d alerts, too few to judge", len(alerts))
	}
	for alert := range alerts {
		if !headings[alert] {
			t.Errorf("%s has no section `## %s`", runbook, alert)
		}
	}
	for heading := range headings {
		if !alerts[heading] {
			t.Errorf("%s: `## %s`: the chart has no such alert in any example", runbook, heading)
		}
	}
}

// Each section says what, what is lost, where to look, what to do, and when it is over.
func TestEverySectionIsWhole(t *testing.T) {
	sections := regexp.MustCompile(`(?m)^## `).Split(document(t, runbook), -1)
	for _, section := range sections {
		name, body, _ := strings.Cut(section, "\n")
		if !strings.HasPrefix(name, "Sluice") {
			continue
		}
		for _, part := range []string{"**Means.**", "**At stake.**", "**Look.**", "**Do.**", "**Over.**"} {
			if strings.Count(body, part) != 1 {
				t.Errorf("%s: %s: has no %s, or several", runbook, name, part)
			}
		}
	}
}

func TestTheRunbookNamesWhatExists(t *testing.T) {
	text := document(t, runbook)
	for _, one := range unknown(text, known(t)) {
		t.Errorf("%s: docs/metrics.md has no %s", runbook, one)
	}
	program := sources(t, root+"/src")
	commands := []string{"check", "doctor", "eval", "explain", "extract", "reconcile", "rejects list", "rejects replay", "rejects show", "replay", "run",
		"schema diff", "schema register", "test", "topics create"}
	for _, found := range regexp.MustCompile("sluice ([a-z]+(?: [a-z]+)?)").FindAllStringSubmatch(code(text), -1) {
		first, _, _ := strings.Cut(found[1], " ")
		if !slices.Contains(commands, found[1]) && !slices.Contains(commands, first) {
			t.Errorf("%s: `sluice %s` is no command", runbook, found[1])
		}
	}
	for _, found := range regexp.MustCompile(`sluice [a-z][^\n`+"`"+`]*`).FindAllString(code(text), -1) {
		for _, flag := range regexp.MustCompile(` --([a-z-]+)`).FindAllStringSubmatch(found, -1) {
			if !strings.Contains(program, strings.ReplaceAll(flag[1], "-", "_")+": ") {
				t.Errorf("%s: src/ has no flag --%s", runbook, flag[1])
			}
		}
	}
}

// code gives what stands between backticks, or is indented by four.
func code(text string) string {
	var kept strings.Builder
	for _, line := range strings.Split(text, "\n") {
		// The release is called sluice, too.
		if strings.Contains(line, "helm ") {
			continue
		}
		if strings.HasPrefix(line, "    ") {
			kept.WriteString(line + "\n")
			continue
		}
		for index, part := range strings.Split(line, "`") {
			if index%2 == 1 {
				kept.WriteString(part + "\n")
			}
		}
	}
	return kept.String()
}
