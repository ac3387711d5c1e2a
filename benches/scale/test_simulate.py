"""Tests of the simulation: `cd benches/scale && python3 -m unittest`."""

import re
import unittest
from dataclasses import replace
from pathlib import Path

import simulate
from autoscaler import Hpa, Keda, Policy, Rules
from cluster import Cluster, Costs, Partition
from load import CURVE, DAY, WORKLOADS, Arrivals, mean_share, poisson_table, share_at

CHART = Path(__file__).resolve().parents[2] / "helm" / "sluice"
COSTS = Costs(1_000, 30, 5, False, 100)


def case(**changed):
    workload = WORKLOADS["notes"]
    costs = replace(COSTS, pod_tokens_a_second=workload.pod_tokens_a_second)
    usual = simulate.Case(workload, 4, 8, "keda", 0.8, 0, Rules(pods_max=4), costs, 0.1, 1)
    return replace(usual, **changed)


class Load(unittest.TestCase):
    def test_the_curve_is_a_line_between_hours_and_closes(self):
        self.assertEqual(share_at(10 * 3_600), CURVE[10])
        self.assertAlmostEqual(share_at(9.5 * 3_600), (CURVE[9] + CURVE[10]) / 2)
        self.assertAlmostEqual(share_at(DAY - 1e-6), CURVE[0], places=6)
        by_second = sum(share_at(second) for second in range(0, DAY, 10)) / (DAY / 10)
        self.assertAlmostEqual(by_second, mean_share(), places=4)

    def test_draws_have_the_mean_that_was_asked_for(self):
        for name, workload in WORKLOADS.items():
            arrivals = Arrivals(workload, 3)
            for expected in (0.2, 3, 40, 1_000):
                counts = [count for _ in range(50) for count in arrivals.counts(expected, 400)]
                self.assertAlmostEqual(sum(counts) / len(counts) / expected, 1, delta=0.05, msg=name)
            # What one draw may be off by falls with the root of their number.
            tokens = sum(arrivals.tokens(10) for _ in range(5_000)) / 50_000
            self.assertAlmostEqual(tokens / workload.tokens, 1, delta=0.03, msg=name)

    def test_a_table_of_poisson_ends_at_one(self):
        table = poisson_table(3)
        self.assertEqual(table[-1], 1)
        self.assertEqual(table, sorted(table))
        self.assertAlmostEqual(table[3], 0.6472, places=4)


class Scaling(unittest.TestCase):
    def test_the_rules_are_those_of_the_chart(self):
        template = (CHART / "templates" / "autoscaling.yaml").read_text(encoding="utf-8")
        values = (CHART / "values.yaml").read_text(encoding="utf-8")
        rules = Rules()

        def number(name, text=template):
            return int(re.search(rf"\b{name}: (\d+)", text)[1])

        self.assertEqual(number("pollingInterval"), rules.polling_seconds)
        self.assertEqual(number("cooldownPeriod"), rules.cooldown_seconds)
        self.assertEqual(number("backlogTokensPerPod", values), rules.backlog_tokens_per_pod)
        self.assertEqual(number("min", values[values.index("autoscaling:"):]), rules.pods_min)
        up, down = template[template.index("scaleUp:"):].split("scaleDown:")
        for text, window, policies in ((up, rules.up_window_seconds, rules.up), (down, rules.down_window_seconds, rules.down)):
            self.assertEqual(number("stabilizationWindowSeconds", text), window)
            found = re.findall(r"type: (\w+)\s+value: (\d+)\s+periodSeconds: (\d+)", text)
            self.assertEqual(tuple(Policy(kind.lower(), int(value), int(period)) for kind, value, period in found), policies)
        interval = re.search(r"serviceMonitor: .*interval: (\d+)s", values)[1]
        self.assertEqual(int(interval), simulate.SCRAPE_SECONDS)

    def test_pods_double_within_a_minute_and_two_are_always_allowed(self):
        hpa, pods, seen = Hpa(Rules(pods_max=100)), 1, []
        for now in range(0, 195, 15):
            pods = hpa.pods(now, pods, 1e9)
            seen.append((now, pods))
        self.assertEqual([pods for now, pods in seen if now % 60 == 0], [3, 6, 12, 24])
        self.assertEqual(dict(seen)[45], 3)

    def test_a_low_proposal_holds_growth_back_for_its_window(self):
        hpa = Hpa(Rules(pods_max=100))
        self.assertEqual(hpa.pods(0, 1, 0), 1)
        self.assertEqual(hpa.pods(15, 1, 1e9), 1)
        self.assertEqual(hpa.pods(30, 1, 1e9), 3)

    def test_pods_go_one_by_one_and_not_before_ten_minutes(self):
        hpa, pods, seen = Hpa(Rules(pods_max=100)), 5, {}
        hpa.pods(0, 5, 5 * 3_000_000)
        for now in range(15, 1_000, 15):
            pods = hpa.pods(now, pods, 0)
            seen[now] = pods
        self.assertEqual((seen[585], seen[600], seen[705], seen[720], seen[840]), (5, 4, 4, 3, 2))

    def test_a_tenth_more_or_less_changes_nothing(self):
        hpa = Hpa(Rules())
        self.assertEqual(hpa.proposal(10.9 * 3_000_000, 10), 10)
        self.assertEqual(hpa.proposal(11.1 * 3_000_000, 10), 12)
        self.assertEqual(hpa.proposal(0, 10), 1)

    def test_lag_wakes_the_first_pod_and_rest_ends_the_last(self):
        keda = Keda(Rules(pods_max=3))
        self.assertEqual(keda.decide(0, 0, 0, 0), 0)
        self.assertEqual(keda.decide(15, 0, 1, 0), 1)
        self.assertEqual(keda.decide(315, 1, 0, 0), 1)
        self.assertEqual(keda.decide(330, 1, 0, 0), 0)
        self.assertEqual(Keda(Rules(pods_min=1)).decide(6_000, 1, 0, 0), 1)


class Work(unittest.TestCase):
    def cluster(self, partitions):
        return Cluster(COSTS, [Partition() for _ in range(partitions)])

    def test_a_rebalance_moves_as_little_as_an_even_share_allows(self):
        cluster = self.cluster(10)
        cluster.scale(0, 2)
        cluster.advance(6, 5)
        before = [set(pod.owned) for pod in cluster.up]
        cluster.scale(30, 3)
        cluster.advance(12, 5)
        after = [set(pod.owned) for pod in cluster.up]
        self.assertEqual(sorted(map(len, after)), [3, 3, 4])
        self.assertEqual(sum(len(old - new) for old, new in zip(before, after)), 3)
        self.assertEqual(set.union(*after), set(range(10)))
        self.assertEqual({index for index, part in enumerate(cluster.partitions) if part.paused_until > 60}, after[2])

    def test_partitions_of_a_pod_that_ends_go_to_the_others(self):
        cluster = self.cluster(6)
        cluster.scale(0, 3)
        cluster.advance(6, 5)
        cluster.scale(30, 1)
        cluster.advance(7, 5)
        self.assertEqual(sorted(cluster.up[0].owned), list(range(6)))

    def test_a_pod_shares_its_time_evenly_and_wastes_none(self):
        cluster = self.cluster(3)
        cluster.scale(0, 1)
        cluster.advance(6, 5)
        for part, tokens in zip(cluster.partitions, (500, 4_000, 9_000)):
            part.add(8, 10, tokens)
        cluster.advance(8, 5)
        self.assertEqual([round(part.tokens) for part in cluster.partitions], [0, 1_750, 6_750])
        self.assertAlmostEqual(cluster.served_tokens, 5_000)

    def test_what_waits_counts_its_steps(self):
        cluster = self.cluster(1)
        cluster.scale(0, 1)
        cluster.advance(6, 5)
        cluster.partitions[0].add(8, 20, 10_000)
        for step in range(8, 11):
            cluster.advance(step, 5)
        self.assertEqual({steps: round(documents) for steps, documents in cluster.waits.items()}, {0: 10, 1: 10})


class Query(unittest.TestCase):
    def test_the_backlog_is_what_the_chart_asks_for(self):
        workload = WORKLOADS["notes"]
        cluster = Cluster(COSTS, [Partition()])
        cluster.scale(0, 1)
        cluster.advance(6, 5)
        prometheus = simulate.Prometheus(workload)
        self.assertEqual(prometheus.backlog_tokens(cluster), 0)
        prometheus.scrape(cluster)
        cluster.partitions[0].add(6, 5_000, 5_000 * 700)
        prometheus.scrape(cluster)
        # 2,000 are in flight, of which 200,000 tokens are cut; none is done, so the rest counts by the default.
        self.assertAlmostEqual(prometheus.backlog_tokens(cluster), 3_000 * 2_000 + 200_000)
        cluster.served_documents, cluster.served_tokens = 100, 70_000
        prometheus.scrape(cluster)
        self.assertAlmostEqual(prometheus.backlog_tokens(cluster), 3_000 * 270_000 / 100 + 200_000)


class Days(unittest.TestCase):
    def test_the_same_seed_gives_the_same_day_and_another_one_another(self):
        lines = [simulate.line(one, simulate.run(one, 1)) for one in (case(), case(), case(seed=2))]
        self.assertEqual(lines[0], lines[1])
        self.assertNotEqual(lines[0], lines[2])

    def test_nothing_is_lost_and_no_pod_is_one_too_many(self):
        result = simulate.run(case(), 1)
        done = sum(result.waits.values())
        self.assertLessEqual(done, result.documents + 1e-3)
        self.assertGreater(done, 0.99 * result.documents)
        self.assertLessEqual(result.pods_most, 4)

    def test_as_many_pods_as_the_peak_needs_keep_no_one_waiting(self):
        result = simulate.run(case(policy="static"), 2)
        self.assertLessEqual(result.lag_seconds(0.99), simulate.STEPS_SECONDS[0])
        self.assertAlmostEqual(result.pod_hours, 4 * 24)

    def test_longer_steps_tell_the_same_but_for_their_length(self):
        fine, coarse = (simulate.run(case(), 1, step_seconds) for step_seconds in simulate.STEPS_SECONDS)
        self.assertAlmostEqual(coarse.pod_hours / fine.pod_hours, 1, delta=0.05)
        self.assertAlmostEqual(coarse.lag_seconds(0.5) / fine.lag_seconds(0.5), 1, delta=0.25)

    def test_a_batch_comes_on_top_of_the_curve(self):
        one = case(batch_minutes=10)
        steps = range(0, DAY, simulate.STEPS_SECONDS[0])
        documents = sum(simulate.expected(one, now, simulate.STEPS_SECONDS[0]) for now in steps) * one.partitions
        wanted = one.peak_documents_a_second() * (mean_share() * DAY + 600)
        self.assertAlmostEqual(documents / wanted, 1, places=3)


if __name__ == "__main__":
    unittest.main()
