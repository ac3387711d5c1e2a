"""A day of documents over pods that come and go: lag, backlog, pod hours and their price, against a fixed number of pods.

    python3 benches/scale/simulate.py                     # the table of README.md
    python3 benches/scale/simulate.py --workload notes --pods-max 100 --partitions 400

Time goes in steps. Prints one table in Markdown; the same arguments give the same table.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace

from autoscaler import Keda, Policy, Rules, Static
from cluster import Cluster, Costs, Partition
from load import DAY, WORKLOADS, Arrivals, mean_share, share_at

# Both divide what KEDA, the HPA and Prometheus go by.
STEPS_SECONDS = (5, 15)
SCRAPE_SECONDS = 30
HOUR_SCRAPES = 3_600 // SCRAPE_SECONDS
# Limits of a flow, by default: `limits.in_flight_*` of pipeline.yaml.
IN_FLIGHT_DELIVERIES = 2_000
IN_FLIGHT_BYTES = 64 * 1_048_576
IN_FLIGHT_TOKENS = 200_000
# Below so many deliveries in an hour the query takes `tokensPerDelivery`.
TELLING_DELIVERIES = 20


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    workload: object
    pods_max: int
    partitions: int
    policy: str  # keda, keda with a share on the way down, or static
    peak_share: float  # of what all pods together can do, at the peak
    batch_minutes: float  # of the peak, arriving within a minute at two in the morning
    rules: Rules
    costs: Costs
    price: float  # of a pod for an hour
    seed: int

    def peak_documents_a_second(self):
        """Of the whole flow."""
        tokens = self.peak_share * self.pods_max * self.workload.pod_tokens_a_second
        return tokens / self.workload.tokens


class Prometheus:
    """What a worker tells of itself, as old as the last scrape, and the chart's query of it."""

    def __init__(self, workload):
        self.workload = workload
        self.scrapes = []
        self.lag = self.flying = self.flying_tokens = 0.0

    def scrape(self, cluster):
        """Takes the metrics of all pods that are up: gauges of now, and both counters."""
        most = min(IN_FLIGHT_DELIVERIES, IN_FLIGHT_BYTES / self.workload.size_bytes)
        self.lag = self.flying = self.flying_tokens = 0.0
        for pod in cluster.up:
            parts = [cluster.partitions[index] for index in pod.owned]
            documents, tokens = sum(part.documents for part in parts), sum(part.tokens for part in parts)
            if documents <= 0:
                continue
            flying = min(documents, max(1, most))
            self.flying += flying
            self.lag += documents - flying
            self.flying_tokens += min(flying * tokens / documents, IN_FLIGHT_TOKENS)
        self.scrapes.append((cluster.served_tokens + self.flying_tokens, cluster.served_documents + self.flying))
        if len(self.scrapes) > HOUR_SCRAPES + 1:
            del self.scrapes[0]

    def backlog_tokens(self, cluster):
        """`sluice:backlog_tokens`; nothing, which KEDA takes for 0, where no pod is up."""
        if not cluster.up or not self.scrapes:
            return 0.0
        tokens, deliveries = (last - first for first, last in zip(self.scrapes[0], self.scrapes[-1]))
        done = deliveries - self.flying
        each = tokens / done if done >= TELLING_DELIVERIES else self.workload.tokens_per_delivery
        return self.lag * each + self.flying_tokens


@dataclass
class Result:
    """What a day was like."""

    step_seconds: int
    documents: float
    waits: Counter
    worst_documents: float
    pod_hours: float
    pods_most: int
    pods_last: int
    rebalances: int

    def lag_seconds(self, share):
        """The wait that so large a share of documents did not exceed, up to a step."""
        reached, wanted = 0.0, share * sum(self.waits.values())
        for steps in sorted(self.waits):
            reached += self.waits[steps]
            if reached >= wanted:
                return steps * self.step_seconds
        # What rounding has left out.
        return max(self.waits, default=0) * self.step_seconds


def expected(case, now, step_seconds):
    """Documents that one partition has to expect in a step."""
    peak = case.peak_documents_a_second()
    rate = peak * share_at(now)
    if 2 * 3_600 <= now % DAY < 2 * 3_600 + 60:
        rate += peak * case.batch_minutes
    return rate * step_seconds / case.partitions


def run(case, days=2, step_seconds=STEPS_SECONDS[0]):
    """Runs so many days from midnight; all but the last one warm up."""
    arrivals, prometheus = Arrivals(case.workload, case.seed), Prometheus(case.workload)
    cluster = Cluster(case.costs, [Partition() for _ in range(case.partitions)])
    is_static = case.policy == "static"
    scaler = Static(case.pods_max) if is_static else Keda(case.rules)
    steps, worst, documents, most = DAY // step_seconds, 0.0, 0.0, 0
    counted_from = (days - 1) * steps
    for step in range(days * steps):
        now = step * step_seconds
        if step == counted_from:
            cluster.waits.clear()
            cluster.pod_seconds, cluster.rebalances = 0.0, 0
            worst, documents, most = 0.0, 0.0, 0
        for part, count in zip(cluster.partitions, arrivals.counts(expected(case, now, step_seconds), case.partitions)):
            if count:
                part.add(step, count, arrivals.tokens(count))
                documents += count
        cluster.advance(step, step_seconds)
        if now % SCRAPE_SECONDS == 0:
            prometheus.scrape(cluster)
            worst = max(worst, sum(part.documents for part in cluster.partitions))
        if is_static:
            cluster.scale(now, case.pods_max)
        elif now % case.rules.polling_seconds == 0:
            lag = sum(part.documents for part in cluster.partitions)
            cluster.scale(now, scaler.decide(now, len(cluster.pods), lag, prometheus.backlog_tokens(cluster)))
        most = max(most, len(cluster.pods))
    return Result(step_seconds, documents, cluster.waits, worst, cluster.pod_seconds / 3_600, most,
                  len(cluster.pods), cluster.rebalances)


HEADER = ("workload", "pods at most", "partitions", "policy", "documents", "p50 lag, s", "p99 lag, s", "worst lag, s",
          "worst backlog", "pods: most, at the end", "rebalances", "pod hours", "cost")


def line(case, result):
    """One line of the table."""
    def lag(share):
        seconds = result.lag_seconds(share)
        return f"{seconds}" if seconds else f"< {result.step_seconds}"

    batch = f", batch of {case.batch_minutes:g} min" if case.batch_minutes else ""
    cells = (case.workload.name, case.pods_max, case.partitions, case.policy + batch, f"{result.documents:,.0f}",
             lag(0.5), lag(0.99), lag(1.0), f"{result.worst_documents:,.0f}",
             f"{result.pods_most}, {result.pods_last}", result.rebalances, f"{result.pod_hours:,.0f}",
             f"{result.pod_hours * case.price:,.2f}")
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=sorted(WORKLOADS), default="contracts")
    parser.add_argument("--pods-max", type=int, nargs="+", default=[10, 100, 1_000])
    parser.add_argument("--partitions", type=int, help="of the input topic; as many as pods at most, where it is not given")
    parser.add_argument("--policy", nargs="+", default=["static", "keda"], choices=["static", "keda", "keda-percent"])
    parser.add_argument("--peak-share", type=float, default=0.8, help="of what all pods can do, at the peak")
    parser.add_argument("--batch-minutes", type=float, default=0, help="of the peak, at once, at two in the morning")
    parser.add_argument("--pod-tokens", type=float, help="tokens a second of a pod, instead of the measured ones")
    parser.add_argument("--backlog-tokens-per-pod", type=float, default=3_000_000)
    parser.add_argument("--pods-min", type=int, default=0)
    parser.add_argument("--start-seconds", type=float, default=32, help="from the order to the first poll")
    parser.add_argument("--pause-seconds", type=float, default=5, help="that a partition stands still which moves")
    parser.add_argument("--protocol", choices=["consumer", "classic"], default="consumer")
    parser.add_argument("--price", type=float, default=0.10, help="of a pod for an hour")
    parser.add_argument("--days", type=int, default=2, help="simulated; the last one counts")
    parser.add_argument("--step-seconds", type=int, choices=STEPS_SECONDS, default=STEPS_SECONDS[0])
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def cases(args):
    workload = WORKLOADS[args.workload]
    if args.pod_tokens:
        workload = replace(workload, pod_tokens_a_second=args.pod_tokens)
    costs = Costs(workload.pod_tokens_a_second, args.start_seconds, args.pause_seconds, args.protocol == "classic",
                  workload.tokens)
    for pods_max in args.pods_max:
        rules = Rules(pods_min=args.pods_min, pods_max=pods_max, backlog_tokens_per_pod=args.backlog_tokens_per_pod)
        shrinking = replace(rules, down=(*rules.down, Policy("percent", 10, 120)))
        for policy in args.policy:
            yield Case(workload, pods_max, args.partitions or pods_max, policy, args.peak_share, args.batch_minutes,
                       shrinking if policy == "keda-percent" else rules, costs, args.price, args.seed)


def main():
    args, began = arguments(), time.monotonic()
    print("| " + " | ".join(HEADER) + " |")
    print("|" + "--|" * len(HEADER))
    for case in cases(args):
        print(line(case, run(case, args.days, args.step_seconds)), flush=True)
    took = f"{time.monotonic() - began:.0f} s"
    print(f"mean of the curve {mean_share():.3f} of the peak; took {took}", file=sys.stderr)


if __name__ == "__main__":
    main()
