"""Racing against random search, TPE and NSGA-II, replayed on full learning curves of every network of a table.

Run by `python -m benchmarks.racing [TABLE [EPOCHS]]`; the table is an .npz file with `accuracy` and `loss` [networks,
seeds, epochs], `costs` [networks, 3] (params, MACs, activation elements) and `features` [networks, F], all of integers.
With EPOCHS, full trainings end there: where the learning rate is constant, they begin as longer ones do.

The question, as it was put before the table was made: does halving with its defaults, for a fifth of the epochs that
the others spend on 40 full trainings, find as good a front of accuracy against MACs as the best of them?

- A front is judged by what its networks are worth in truth, their mean accuracy over all seeds at full length, while
  each method saw one seed a network, and chose by that. Accuracies are scaled to [0, 1] over the table; logarithms of
  MACs too, but by a factor of two at least, so that within the few per cent that a budget's tolerance leaves, MACs do
  not weigh as much as all of the accuracy. The reference point lies 10 % beyond the worst; 1 is the hypervolume of the
  table's own front.
- Every repetition draws which seed each network shows, and the order in which random search and racing meet them; all
  methods of a repetition see the same.
- Optuna's samplers propose features; what they get is the nearest network of the table that they have not had, with its
  own features, so they waste nothing on infeasible or repeated networks.
- Not worse means: the lower end of a 95 % bootstrap interval of the mean difference to the best baseline lies above
  -MARGIN. Half a per cent of the hypervolume, where the table's accuracies span 0.2, is 0.1 % of accuracy all along the
  front: less than the seeds of one network differ by, so no one who trains the front once could tell.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import optuna
from moocore import hypervolume, is_nondominated
from numpy.typing import NDArray
from rich.console import Console

from nas.racing import COST_SCALE, REFERENCE, RaceSpec, next_steps, planned_epochs, rungs
from nas.tables import make_table

MARGIN = 0.005
REPETITIONS = 200
FULL = 40  # full trainings of the baselines
SHARE = 5  # racing gets this part of their epochs
RESAMPLES = 10_000
SHOWN = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0)  # of the baselines' epochs
TABLE = Path(__file__).with_name("curves-mnist5k.npz")
MACS = 1
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Validation accuracies and training losses [N, seeds, epochs], costs [N, 3], features [N, F]."""

    accuracy: Floats
    loss: Floats
    costs: Ints
    features: Ints

    @property
    def epochs(self) -> int:
        """Of a full training."""
        return int(self.accuracy.shape[2])

    @cached_property
    def truth(self) -> Floats:
        """Mean accuracy over seeds at full length [N]."""
        return np.asarray(self.accuracy[:, :, -1].mean(axis=1))

    @cached_property
    def scaled(self) -> Floats:
        """What networks are worth [N, 2]: true loss of accuracy, and MACs; 0 is the table's best, about 1 its worst."""
        losses, logs = self.truth.max() - self.truth, np.log(self.costs[:, MACS])
        macs = (logs - logs.min()) / max(np.ptp(logs), COST_SCALE)
        return np.column_stack([losses / max(losses.max(), 1e-9), macs])

    @cached_property
    def best(self) -> float:
        """Hypervolume of the table's own front."""
        return float(hypervolume(self.scaled, ref=REFERENCE))


@dataclass(frozen=True)
class Draw:
    """What a repetition shows: curves of one seed a network [N, epochs], and an order of the networks."""

    accuracy: Floats
    loss: Floats
    order: Ints
    number: int


@dataclass(frozen=True)
class Found:
    """After each full training of a method, or at the end of a race: epochs spent, front, most accurate network."""

    epochs: int
    quality: float
    winner: float


def load_curves(path: Path) -> Curves:
    """The table of a file; ends the program where there is none."""
    if not path.exists():
        sys.exit(f"there must be a table of learning curves, but {path} is none")
    with np.load(path) as data:
        return Curves(
            accuracy=data["accuracy"].astype(float),
            loss=data["loss"].astype(float),
            costs=data["costs"].astype(np.int64),
            features=data["features"].astype(np.int64),
        )


def draw(curves: Curves, number: int) -> Draw:
    """The repetition of this number."""
    random = np.random.default_rng(number)
    networks, seeds = curves.accuracy.shape[:2]
    shown = random.integers(seeds, size=networks)
    every = np.arange(networks)
    return Draw(curves.accuracy[every, shown], curves.loss[every, shown], random.permutation(networks), number)


def judge(curves: Curves, drawn: Draw, trained: Sequence[int] | Ints, epochs: int) -> Found:
    """What the networks that were trained to the end give: their front as it was seen, at its true worth."""
    networks = np.asarray(trained)
    seen = drawn.accuracy[networks, -1]
    front = networks[is_nondominated(np.column_stack([-seen, curves.costs[networks, MACS]]))]
    quality = hypervolume(curves.scaled[front], ref=REFERENCE) / curves.best
    return Found(epochs, float(quality), float(curves.truth[networks[np.argmax(seen)]]))


def judge_each(curves: Curves, drawn: Draw, trained: Sequence[int] | Ints) -> list[Found]:
    """After every full training."""
    return [judge(curves, drawn, trained[:count], count * curves.epochs) for count in range(1, len(trained) + 1)]


def run_sampler(curves: Curves, drawn: Draw, sampler: optuna.samplers.BaseSampler, count: int) -> list[int]:
    """Networks that a sampler of Optuna trains, in its order.

    A proposal that is no network of the table is dropped, and the nearest network is asked for in its place, so that
    the sampler learns of the network that was trained. Distance: sum over features, each scaled to [0, 1].
    """
    lows, highs = curves.features.min(axis=0), curves.features.max(axis=0)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        str(column): optuna.distributions.IntDistribution(int(low), int(high))
        for column, (low, high) in enumerate(zip(lows, highs, strict=True))
    }
    places = (curves.features - lows) / np.maximum(highs - lows, 1)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    left = np.ones(len(places), bool)
    trained = []
    for _ in range(min(count, len(places))):
        trial = study.ask(space)
        wanted = np.array([trial.params[name] for name in space])
        distances = np.abs(places - (wanted - lows) / np.maximum(highs - lows, 1)).sum(axis=1)
        network = int(np.argmin(np.where(left, distances, np.inf)))
        if distances[network] > 0:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial({name: int(curves.features[network, int(name)]) for name in space})
            trial = study.ask(space)
        study.tell(trial, [float(drawn.accuracy[network, -1]), float(curves.costs[network, MACS])])
        left[network] = False
        trained.append(network)
    return trained


@dataclass(frozen=True, kw_only=True)
class Racing:
    """A way to race: the rule, what a rung is ranked by, which costs it looks at."""

    name: str
    spec: RaceSpec = field(default_factory=RaceSpec)
    costs: tuple[int, ...] = (MACS,)
    by_loss: bool = False

    def sizes(self, curves: Curves) -> list[tuple[int, int]]:
        """Numbers of networks with the epochs planned for them."""
        planned = rungs(curves.epochs, self.spec)
        return [
            (count, planned_epochs(count, 1, planned, self.spec, base=False))
            for count in range(1, len(curves.costs) + 1)
        ]

    def size_for(self, curves: Curves, epochs: float) -> int:
        """The most networks that can be raced for these epochs, at least one."""
        return max((count for count, planned in self.sizes(curves) if planned <= epochs), default=1)

    def run(self, curves: Curves, drawn: Draw, count: int) -> Found:
        """Race the first networks of the draw's order, one seed each, a training at a time."""
        networks, full = drawn.order[:count], curves.epochs
        costs = curves.costs[networks][:, np.array(self.costs, int)]
        results: dict[tuple[int, int, int], float] = {}
        spent: dict[int, int] = {}
        while steps := next_steps(costs, None, 1, rungs(full, self.spec), self.spec, results, set()):
            for step in steps if self.spec.rule == "halving" else steps[:1]:
                seen = -drawn.loss if self.by_loss and step.until < full else drawn.accuracy
                results[step.network, 0, step.until] = float(seen[networks[step.network], step.until - 1])
                spent[step.network] = max(spent.get(step.network, 0), step.until)
        trained = [networks[network] for network, until in spent.items() if until == full]
        return judge(curves, drawn, trained, sum(spent.values()))


RACES = (  # the first one is the question; the others say what it is made of
    Racing(name="halving"),
    Racing(name="halving, all costs", costs=(0, 1, 2)),
    Racing(name="halving, no costs", costs=()),
    Racing(name="halving, training loss", by_loss=True),
    Racing(name="halving, 4 finalists", spec=RaceSpec(finalists=4)),
    Racing(name="halving, eta 10, 4 finalists", spec=RaceSpec(eta=10, finalists=4)),
    Racing(name="asha", spec=RaceSpec(rule="asha")),
)
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
    # of its default population of 50 none would be bred within 40 trainings
    "NSGA-II": lambda seed: optuna.samplers.NSGAIISampler(population_size=10, seed=seed),
}


@dataclass(frozen=True)
class Replay:
    """Epochs, qualities and winners of a method, each [points, repetitions], in order of epochs."""

    name: str
    networks: tuple[int, ...]
    epochs: Floats
    quality: Floats
    winner: Floats

    def at(self, epochs: float) -> int | None:
        """The last point that spends no more than these epochs on average."""
        within = np.flatnonzero(self.epochs.mean(axis=1) <= epochs)
        return int(within[-1]) if len(within) else None

    def epochs_to(self, quality: float) -> float | None:
        """Mean epochs of the first point whose mean quality is this or better."""
        reached = np.flatnonzero(self.quality.mean(axis=1) >= quality)
        return float(self.epochs[reached[0]].mean()) if len(reached) else None


def replay(curves: Curves, repetitions: int = REPETITIONS, full: int = FULL) -> tuple[list[Replay], list[Replay]]:
    """Baselines, a point after each full training; races, a point for each of some numbers of networks."""
    full = min(full, len(curves.costs))
    draws = [draw(curves, number) for number in range(repetitions)]
    baselines = [_replay("random", range(1, full + 1), [judge_each(curves, d, d.order[:full]) for d in draws])]
    for name, make in SAMPLERS.items():
        found = [judge_each(curves, d, run_sampler(curves, d, make(d.number), full)) for d in draws]
        baselines.append(_replay(name, range(1, full + 1), found))
    races = []
    for racing in RACES:
        shown = {racing.size_for(curves, share * full * curves.epochs) for share in (*SHOWN, 1 / SHARE)}
        some = np.geomspace(3, len(curves.costs), 16).astype(int).tolist()
        counts = sorted({*shown, *(count for count in some if count <= len(curves.costs))})
        races.append(_replay(racing.name, counts, [[racing.run(curves, d, count) for count in counts] for d in draws]))
    return baselines, races


def _replay(name: str, networks: Sequence[int], found: list[list[Found]]) -> Replay:
    values = np.array([[(one.epochs, one.quality, one.winner) for one in row] for row in found]).transpose(2, 1, 0)
    return Replay(name, tuple(networks), *values)


def bootstrap(differences: Floats) -> tuple[float, float]:
    """95 % interval of the mean, by percentiles of resampled means."""
    rows = np.random.default_rng(0).integers(len(differences), size=(RESAMPLES, len(differences)))
    low, high = np.percentile(differences[rows].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def main(path: str = str(TABLE), epochs: str = "") -> None:
    """Print what was found."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    curves = load_curves(Path(path))
    if epochs:
        cut = int(epochs)
        curves = replace(curves, accuracy=curves.accuracy[:, :, :cut], loss=curves.loss[:, :, :cut])
    baselines, races = replay(curves)
    print_report(Console(width=120), curves, baselines, races)


def print_report(console: Console, curves: Curves, baselines: list[Replay], races: list[Replay]) -> None:
    """Racing at its share against the baselines at their budget; then hypervolume against epochs."""
    budget = float(baselines[0].epochs[-1].mean())
    best = max(baselines, key=lambda one: one.quality[-1].mean())
    title = f"{len(curves.costs)} networks, {best.quality.shape[1]} repetitions; best baseline: {best.name}"
    table = make_table("", "epochs", "hypervolume", "winner", "difference", "95 %", "", title=title, left=("",))
    rows = [(one, len(one.epochs) - 1) for one in baselines] + [(one, one.at(budget / SHARE)) for one in races]
    for one, point in rows:
        if point is None:
            continue
        differences = one.quality[point] - best.quality[-1]
        low, high = bootstrap(differences)
        compared = one in races
        table.add_row(
            f"{one.name}, {one.networks[point]} networks",
            f"{one.epochs[point].mean():.0f}",
            f"{one.quality[point].mean():.4f}",
            f"{one.winner[point].mean():.4f}",
            f"{differences.mean():+.4f}" if compared else "",
            f"{low:+.4f} {high:+.4f}" if compared else "",
            ("not worse" if low > -MARGIN else "not shown") if compared else "",
        )
    console.print(table)
    noise = curves.accuracy[:, :, -1].std(axis=1, ddof=1).mean() if curves.accuracy.shape[1] > 1 else 0
    console.print(
        f"margin {MARGIN}; true accuracies {curves.truth.min():.4f} to {curves.truth.max():.4f}, standard deviation "
        f"between seeds {noise:.4f}",
        highlight=False,
    )
    target = best.quality[-1].mean()
    shown = [share * budget for share in SHOWN]
    names = [f"{epochs:.0f}" for epochs in shown]
    table = make_table("hypervolume at epochs", *names, f"epochs to {target:.4f}", left=("hypervolume at epochs",))
    for one in baselines + races:
        points = [one.at(epochs) for epochs in shown]
        cells = ["" if point is None else f"{one.quality[point].mean():.4f}" for point in points]
        reached = one.epochs_to(target)
        share = "not reached" if reached is None else f"{reached:.0f} ({reached / budget:.0%})"
        table.add_row(one.name, *cells, share)
    console.print(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
