"""Which networks of a front to look at first: the winner, the smallest that is as good, the knee."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING, Any

from dashboards.scored import ScoredNetwork

if TYPE_CHECKING:
    from dashboards.front import Front


@dataclass(frozen=True, kw_only=True)
class Pick:
    """A network and the rule by which it was picked; None with the reason where the rule picks none."""

    name: str
    rule: str
    network: ScoredNetwork | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "pick": self.name,
            "rule": self.rule,
            **({"id": self.network.id, "method": self.network.method} if self.network else {"reason": self.reason}),
        }


def make_picks(front: "Front") -> list[Pick]:
    """Best, smallest as good, knee; empty in a study, whose networks have a budget each."""
    if front.study:
        return []
    cost = main_cost(front.objectives)
    return [_best(front), _smallest(front, cost), _knee(front, cost)]


def _best(front: "Front") -> Pick:
    reason = "" if front.winner else "no winner is named yet"
    return Pick(name="best", rule="highest accuracy within the budget", network=front.winner, reason=reason)


def _smallest(front: "Front", cost: str) -> Pick:
    """Breiman et al. 1984's rule of one standard error, on the front: the simplest that is as good as the best."""
    rule = f"least {cost} among those within one standard error of the best's accuracy"
    best = front.winner
    if best is None or best.final.std is None:
        reason = "no winner is named yet" if best is None else "one seed has no standard error"
        return Pick(name="smallest", rule=rule, network=None, reason=reason)
    least = best.final.mean - best.final.std / sqrt(len(best.final.by_seed))
    good = [network for network in front.front if cost in network.costs and network.final.mean >= least]
    return Pick(name="smallest", rule=rule, network=min(good, key=lambda n: (n.costs[cost], -n.final.mean, n.id)))


def _knee(front: "Front", cost: str) -> Pick:
    rule = f"farthest above the straight line between the front's ends, in accuracy and log {cost}"
    points = _staircase(front.front, cost)
    if front.unconfirmed or len(points) < 3:
        reason = "the front waits for fresh seeds" if front.unconfirmed else "a knee needs a front of three at least"
        return Pick(name="knee", rule=rule, network=None, reason=reason)
    first, last = points[0], points[-1]
    width, height = log(last.costs[cost] / first.costs[cost]), last.final.mean - first.final.mean

    def above(network: ScoredNetwork) -> float:
        """How far it stands above the line, in heights of the front; distances to the line are in this order, too."""
        done = log(network.costs[cost] / first.costs[cost]) / width
        return (network.final.mean - first.final.mean) / height - done

    found = max(points[1:-1], key=above)
    if above(found) <= 0:
        return Pick(name="knee", rule=rule, network=None, reason="no network stands above the line")
    return Pick(name="knee", rule=rule, network=found)


def _staircase(networks: Sequence[ScoredNetwork], cost: str) -> list[ScoredNetwork]:
    """Those that are more accurate than all that cost less, cheapest first."""
    known = [network for network in networks if network.costs.get(cost, 0) > 0]
    steps: list[ScoredNetwork] = []
    for network in sorted(known, key=lambda n: (n.costs[cost], -n.final.mean, n.id)):
        if not steps or network.final.mean > steps[-1].final.mean:
            steps.append(network)
    return steps


def main_cost(objectives: Sequence[str]) -> str:
    """The cost that pictures and picks are about: the first among the objectives, or MACs."""
    return next((name for name in objectives if name != "accuracy"), "macs")
