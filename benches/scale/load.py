"""What arrives: workloads as they were measured, the curve of a day, and draws from both.

Figures of a workload come from `benches/README.md` and the lines that its runs printed; see `README.md` here.
"""

import bisect
import math
import random
from dataclasses import dataclass

# Share of the peak at each full hour; between them it is a straight line.
CURVE = (0.10, 0.08, 0.07, 0.07, 0.08, 0.12, 0.20, 0.40, 0.70, 0.92, 1.00, 0.97,
         0.85, 0.90, 0.98, 0.95, 0.85, 0.65, 0.45, 0.32, 0.25, 0.20, 0.15, 0.12)
DAY = 86_400
# Documents whose lengths are drawn once; a sum of neighbours then costs two look-ups.
POOL = 65_536
# From here on a Poisson draw is taken from the normal distribution that it is close to.
NORMAL_FROM = 200


@dataclass(frozen=True)
class Workload:
    """Documents of one pipeline, a message each."""

    name: str
    # Tokens of a document as the model sees them: mean, and standard deviation over mean.
    tokens: float
    spread: float
    # Bytes of its message.
    size_bytes: float
    # Tokens a second of one pod of two cores, through Kafka, all of its other work included.
    pod_tokens_a_second: float
    # `autoscaling.tokensPerDelivery` of the chart's values for it.
    tokens_per_delivery: float


WORKLOADS = {one.name: one for one in (
    Workload("contracts", 433_790 / 41, 1.02, 169_247, 8_815, 20_000),
    Workload("notes", 121_348 / 167, 0.32, 2_669, 7_265, 2_000),
    Workload("work-orders", 40_976 / 4_819, 0.29, 27, 2_532, 2_000),
)}


def share_at(seconds):
    """Share of the peak at this second of the day."""
    hour, rest = divmod(seconds % DAY, 3_600)
    first, second = CURVE[int(hour)], CURVE[(int(hour) + 1) % 24]
    return first + (second - first) * rest / 3_600


def mean_share():
    """Mean of the curve over a day: straight lines between full hours, so the mean of these."""
    return sum(CURVE) / len(CURVE)


class Arrivals:
    """Draws, for each partition alike, how many documents come in a step and how many tokens they have."""

    def __init__(self, workload, seed):
        self.random = random.Random(seed)
        sigma = math.sqrt(math.log(1 + workload.spread**2))
        lengths = [self.random.lognormvariate(0, sigma) for _ in range(POOL)]
        scale = workload.tokens * POOL / sum(lengths)
        # Twice around, so that a run of neighbours never ends at the edge.
        self.sums = [0.0]
        for length in lengths + lengths:
            self.sums.append(self.sums[-1] + length * scale)

    def counts(self, expected, partitions):
        """How many documents come to each of so many partitions, where so many are expected for one."""
        draw = self.random.random
        if expected <= 0:
            return [0] * partitions
        if expected >= NORMAL_FROM:
            deviation = math.sqrt(expected)
            gauss = self.random.gauss
            return [max(0, round(gauss(expected, deviation))) for _ in range(partitions)]
        table = poisson_table(expected)
        find = bisect.bisect_left
        return [find(table, draw()) for _ in range(partitions)]

    def tokens(self, count):
        """Tokens of so many documents together: neighbours from a random place of the pool."""
        whole, count = divmod(count, POOL)
        at = int(self.random.random() * POOL)
        return self.sums[at + count] - self.sums[at] + whole * self.sums[POOL]


def poisson_table(expected):
    """Cumulative probabilities of 0, 1, 2 .. events, up to where no double tells them from one."""
    term = total = math.exp(-expected)
    table = [total]
    while term > 1e-17 or len(table) <= expected:
        term *= expected / len(table)
        total += term
        table.append(total)
    # What rounding has left out, so that every draw finds a place.
    table.append(1.0)
    return table
