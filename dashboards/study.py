"""What a study found: for each approach and resolution, originals against networks of the same cost at higher ones."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from dashboards.scored import ScoredNetwork


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over originals, and their sample standard deviation (None for one)."""

    mean: float
    std: float | None

    @staticmethod
    def of(values: Sequence[float]) -> "Estimate":
        """Of one value an original."""
        return Estimate(mean=fmean(values), std=stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The mean difference to the originals, pairwise, and its standard error (None for one original)."""

    mean: float
    error: float | None

    @staticmethod
    def of(after: Sequence[float], before: Sequence[float]) -> "Gain":
        """Of one value an original, and the original's."""
        differences = [one - other for one, other in zip(after, before, strict=True)]
        error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else None
        return Gain(mean=fmean(differences), error=error)


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """One approach at one resolution: test accuracies, each the mean over seeds, averaged over the originals.

    `chosen` is, of each original's solutions, the one that is most accurate on validation; `best_on_test` what the
    paper takes instead. Costs are those of the solutions as shares of their original's, averaged.
    """

    method: str
    resolution: int
    originals: int
    solutions: int
    original: Estimate
    mean_of_solutions: Estimate
    chosen: Estimate
    best_on_test: Estimate
    gain_of_mean: Gain
    gain_of_chosen: Gain
    params: float
    macs: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def make_study_rows(networks: Sequence[ScoredNetwork]) -> list[StudyRow]:
    """A row for each approach and resolution of which an original and a solution are scored on test."""
    scored = [network for network in networks if network.test is not None]
    originals = {network.id: network for network in scored if network.id == network.original}
    places: defaultdict[tuple[str, int], dict[str, list[ScoredNetwork]]] = defaultdict(dict)
    for network in scored:
        if network.id != network.original and network.original in originals:
            place = places[network.method, originals[network.original].resolution]
            place.setdefault(network.original, []).append(network)
    return [_row(*place, originals, groups) for place, groups in sorted(places.items(), key=lambda item: item[0])]


def _row(
    method: str, resolution: int, originals: Mapping[str, ScoredNetwork], groups: Mapping[str, list[ScoredNetwork]]
) -> StudyRow:
    before = [_test(originals[name]) for name in groups]
    means = [fmean(map(_test, group)) for group in groups.values()]
    chosen = [_test(max(group, key=_validation)) for group in groups.values()]
    return StudyRow(
        method=method,
        resolution=resolution,
        originals=len(groups),
        solutions=sum(map(len, groups.values())),
        original=Estimate.of(before),
        mean_of_solutions=Estimate.of(means),
        chosen=Estimate.of(chosen),
        best_on_test=Estimate.of([max(map(_test, group)) for group in groups.values()]),
        gain_of_mean=Gain.of(means, before),
        gain_of_chosen=Gain.of(chosen, before),
        params=_share("params", originals, groups),
        macs=_share("macs", originals, groups),
    )


def _test(network: ScoredNetwork) -> float:
    assert network.test is not None
    return network.test.mean


def _validation(network: ScoredNetwork) -> tuple[float, str]:
    return network.validation.mean, network.id  # ties by id, so that every run agrees


def _share(cost: str, originals: Mapping[str, ScoredNetwork], groups: Mapping[str, list[ScoredNetwork]]) -> float:
    return fmean(
        fmean(network.costs[cost] for network in group) / originals[name].costs[cost] for name, group in groups.items()
    )
