"""Who says how many pods there are: KEDA and the HorizontalPodAutoscaler that it makes, or nobody.

The rules are those of `helm/sluice/templates/autoscaling.yaml`. How they are applied was read in the sources of KEDA 2.21.0
(`pkg/scaling/executor/scale_scaledobjects.go`) and of Kubernetes 1.37.2 (`pkg/controller/podautoscaler/horizontal.go` and
`replica_calculator.go`).
"""

import math
from collections import deque
from dataclasses import dataclass, field

SYNC_SECONDS = 15  # of the HPA controller, by default
TOLERANCE = 0.1  # likewise: a ratio this close to 1 changes nothing


@dataclass(frozen=True)
class Policy:
    """How much may change within a period."""

    kind: str  # pods or percent
    value: int
    period_seconds: int


@dataclass(frozen=True)
class Rules:
    """What the chart's ScaledObject says."""

    pods_min: int = 0
    pods_max: int = 1
    backlog_tokens_per_pod: float = 3_000_000
    polling_seconds: int = 15
    cooldown_seconds: int = 300
    up_window_seconds: int = 30
    up: tuple = (Policy("percent", 100, 60), Policy("pods", 2, 60))
    down_window_seconds: int = 600
    down: tuple = (Policy("pods", 1, 120),)


@dataclass
class Hpa:
    """From one pod on: the target, both stabilisation windows and the policies."""

    rules: Rules
    recommended: deque = field(default_factory=deque)
    added: deque = field(default_factory=deque)
    removed: deque = field(default_factory=deque)

    def proposal(self, tokens, pods):
        """Pods that the backlog asks for. The trigger on lag asks for one, and the larger of both counts."""
        target = self.rules.backlog_tokens_per_pod
        if abs(tokens / (target * pods) - 1) <= TOLERANCE:
            return pods
        return max(1, math.ceil(tokens / target))

    def pods(self, now, pods, tokens):
        """Pods that there are to be from now on."""
        rules = self.rules
        proposal = self.proposal(tokens, pods)
        wanted = self.stabilised(now, pods, proposal)
        if wanted > pods:
            limit = max(self.after(now, pods, policy, 1) for policy in rules.up)
            wanted = min(wanted, rules.pods_max, max(limit, pods))
            self.added.append((now, wanted - pods))
        elif wanted < pods:
            limit = min(self.after(now, pods, policy, -1) for policy in rules.down)
            wanted = max(wanted, rules.pods_min, 1, min(limit, pods))
            self.removed.append((now, pods - wanted))
        return wanted

    def stabilised(self, now, pods, proposal):
        """Up to the least that was proposed in the window for it, down to the most in the other one."""
        rules = self.rules
        longest = max(rules.up_window_seconds, rules.down_window_seconds)
        while self.recommended and self.recommended[0][0] <= now - longest:
            self.recommended.popleft()
        least = most = proposal
        for at, recommended in self.recommended:
            if at > now - rules.up_window_seconds:
                least = min(least, recommended)
            if at > now - rules.down_window_seconds:
                most = max(most, recommended)
        self.recommended.append((now, proposal))
        return min(max(pods, least), most)

    def after(self, now, pods, policy, sign):
        """Pods that the policy leaves, counted from those at the start of its period."""
        start = pods - since(self.added, now - policy.period_seconds) + since(self.removed, now - policy.period_seconds)
        if policy.kind == "pods":
            return start + sign * policy.value
        changed = start * (1 + sign * policy.value / 100)
        return math.ceil(changed) if sign > 0 else int(changed)


def since(events, moment):
    """Pods that came or went after the moment."""
    return sum(count for at, count in events if at > moment)


@dataclass
class Keda:
    """Zero to one and back by activity, the rest by the HPA."""

    rules: Rules
    hpa: Hpa = None
    active_at: float = -math.inf

    def __post_init__(self):
        self.hpa = Hpa(self.rules)

    def decide(self, now, pods, lag, tokens):
        """Pods that there are to be. `lag` is the group's, by its committed offsets; `tokens` what Prometheus answers."""
        rules = self.rules
        if now % rules.polling_seconds == 0:
            if lag > 0 or tokens > 0:
                self.active_at = now
                if pods == 0:
                    return max(1, rules.pods_min)
            elif pods > 0 and rules.pods_min == 0 and now - self.active_at > rules.cooldown_seconds:
                return 0
        # The HPA does nothing where there is no pod.
        if pods > 0 and now % SYNC_SECONDS == 0:
            pods = self.hpa.pods(now, pods, tokens)
        return max(pods, rules.pods_min)


@dataclass(frozen=True)
class Static:
    """As many as there were."""

    count: int

    def decide(self, _now, _pods, _lag, _tokens):
        """Always the same."""
        return self.count
