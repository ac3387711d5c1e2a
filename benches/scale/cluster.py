"""Who works: pods that take time to start, the partitions that they own, and what is moved when one comes or goes.

Within a step a partition is a queue of what came in each step before it, by tokens; a pod shares its time evenly over those of
its partitions in which something waits.
"""

from collections import Counter, deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Costs:
    """What pods and rebalances cost, beside the work."""

    pod_tokens_a_second: float
    # From the order to the first poll: scheduling, image and start of the process.
    start_seconds: float
    # How long a partition that moves stands still.
    pause_seconds: float
    # Under the classic protocol all partitions stand still.
    all_pause: bool
    # Tokens that are worked on again for each partition that moves while something waits in it.
    redone_tokens: float


class Partition:
    """What waits in one partition, oldest first: [step of arrival, documents, tokens]."""

    __slots__ = ("waiting", "documents", "tokens", "paused_until")

    def __init__(self):
        self.waiting = deque()
        self.documents = self.tokens = 0.0
        self.paused_until = 0.0

    def add(self, step, documents, tokens):
        """Documents arrive."""
        self.waiting.append([step, documents, tokens])
        self.documents += documents
        self.tokens += tokens

    def serve(self, tokens, step, waits):
        """Works off so many tokens of the oldest; `waits` counts documents by the steps that they waited."""
        waiting = self.waiting
        self.tokens -= tokens
        while waiting and tokens > 0:
            first = waiting[0]
            if first[2] <= tokens + 1e-6:
                waiting.popleft()
                tokens -= first[2]
                done = first[1]
            else:
                done = first[1] * tokens / first[2]
                first[2] -= tokens
                first[1] -= done
                tokens = 0
            waits[step - first[0]] += done
            self.documents -= done
        if not waiting:
            self.documents = self.tokens = 0.0

    def redo(self, tokens):
        """What was open is dropped, and done again by the next owner."""
        if self.waiting:
            self.waiting[0][2] += tokens
            self.tokens += tokens


@dataclass
class Pod:
    """One worker."""

    ready_at: float
    owned: list = field(default_factory=list)


@dataclass
class Cluster:
    """All pods and partitions of one flow. Pods stand in the order of their start, so those that are up come first."""

    costs: Costs
    partitions: list
    pods: list = field(default_factory=list)
    up: list = field(default_factory=list)
    free: list = field(default_factory=list)
    waits: Counter = field(default_factory=Counter)
    served_tokens: float = 0.0
    served_documents: float = 0.0
    pod_seconds: float = 0.0
    rebalances: int = 0

    def __post_init__(self):
        self.free = list(range(len(self.partitions)))

    def scale(self, now, count):
        """Starts pods, or ends those that were started last, as a StatefulSet does; what they owned is free."""
        while len(self.pods) < count:
            self.pods.append(Pod(now + self.costs.start_seconds))
        for pod in self.pods[count:]:
            self.free.extend(pod.owned)
        del self.pods[count:]

    def advance(self, step, seconds):
        """One step of so many seconds: members, work, what it costs."""
        now, count = step * seconds, min(len(self.up), len(self.pods))
        while count < len(self.pods) and self.pods[count].ready_at <= now:
            count += 1
        if count != len(self.up) or (self.up and self.up[-1] is not self.pods[count - 1]):
            self.up = self.pods[:count]
            self.rebalance(now)
        self.pod_seconds += len(self.pods) * seconds
        for pod in self.up:
            self.work(pod, step, seconds, now)

    def rebalance(self, now):
        """Moves as few partitions as an even share allows; those that move, or all, stand still for a while."""
        self.rebalances += 1
        if not self.up:
            return
        least, extra = divmod(len(self.partitions), len(self.up))
        # Who has most keeps one more, where the shares are not all alike: fewer move.
        ordered = sorted(self.up, key=lambda pod: -len(pod.owned))
        shares = [least + (rank < extra) for rank in range(len(ordered))]
        for pod, share in zip(ordered, shares):
            self.free.extend(pod.owned[share:])
            del pod.owned[share:]
        moved, self.free = self.free, []
        given = iter(moved)
        for pod, share in zip(ordered, shares):
            pod.owned.extend(next(given) for _ in range(share - len(pod.owned)))
        until = now + self.costs.pause_seconds
        for index in range(len(self.partitions)) if self.costs.all_pause else moved:
            self.partitions[index].paused_until = until
        for index in moved:
            self.partitions[index].redo(self.costs.redone_tokens)

    def work(self, pod, step, seconds, now):
        """Shares a pod's time evenly over its partitions, and what one does not need over the others."""
        parts = [self.partitions[index] for index in pod.owned]
        parts = [part for part in parts if part.tokens > 0 and part.paused_until <= now]
        left = self.costs.pod_tokens_a_second * seconds
        if len(parts) > 1:
            parts.sort(key=lambda part: part.tokens)
        count = len(parts)
        for part in parts:
            taken = min(part.tokens, left / count)
            count -= 1
            left -= taken
            before = part.documents
            part.serve(taken, step, self.waits)
            self.served_tokens += taken
            self.served_documents += before - part.documents
