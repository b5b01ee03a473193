"""The replay on an invented table: what methods see, how they are judged, that none is helped."""

from io import StringIO
from pathlib import Path

import numpy as np
import optuna
import pytest
from rich.console import Console

from benchmarks.racing import (
    RACES,
    SAMPLERS,
    Curves,
    Racing,
    Replay,
    bootstrap,
    draw,
    judge,
    judge_each,
    load_curves,
    main,
    print_report,
    replay,
    run_sampler,
)
from nas.racing import RaceSpec


def invent_curves(path: Path, networks: int = 60, seeds: int = 3, epochs: int = 10, *, noise: float = 0.004) -> Curves:
    """Curves that rise towards a level, which MACs and kernels decide, each at its own pace, with noise of seeds."""
    random = np.random.default_rng(7)
    features = np.column_stack(
        [random.integers(14, 29, networks), random.integers(3, 9, networks), np.arange(networks)]
    )
    macs = random.integers(200_000, 300_000, networks)
    level = (
        0.97
        - 0.02 * np.abs(features[:, 0] - 22) / 7
        + 0.3 * (macs / 300_000 - 1) * 0.1
        - random.exponential(0.01, networks)
    )
    pace = random.uniform(0.5, 1.2, (networks, 1, 1))
    steps = np.arange(1, epochs + 1)
    accuracy = level[:, None, None] * (1 - 0.6 * np.exp(-pace * steps)) + random.normal(
        0, noise, (networks, seeds, epochs)
    )
    costs = np.column_stack([macs // 5, macs, random.integers(2_000, 9_000, networks)])
    np.savez(
        path,
        accuracy=accuracy.astype(np.float32),
        loss=(2.5 * (1 - accuracy)).astype(np.float32),
        costs=costs,
        features=features,
        feature_names=["resolution", "kernel1", "number"],
        seconds=np.ones((networks, seeds)),
    )
    return load_curves(path)


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Curves:
    return invent_curves(tmp_path_factory.mktemp("curves") / "curves.npz")


def test_draws_differ_and_repeat(curves: Curves) -> None:
    one, same, other = draw(curves, 0), draw(curves, 0), draw(curves, 1)
    assert (one.accuracy == same.accuracy).all()
    assert (one.order == same.order).all()
    assert (one.order != other.order).any()
    assert sorted(one.order) == list(range(60))
    for network in range(60):
        seeds = (curves.accuracy[network] == one.accuracy[network]).all(axis=1)
        assert (curves.loss[network][seeds] == one.loss[network]).all()


def test_judged_by_the_truth(curves: Curves) -> None:
    drawn, every = draw(curves, 0), np.arange(60)
    found = judge(curves, drawn, every, 600)
    assert 0.9 < found.quality <= 1
    assert found.winner == curves.truth[np.argmax(drawn.accuracy[:, -1])] <= curves.truth.max()
    # with as many seeds as there are, all networks give the table's own front
    seen = Curves(accuracy=curves.truth[:, None, None], loss=curves.loss, costs=curves.costs, features=curves.features)
    assert judge(seen, draw(seen, 0), every, 60).quality == pytest.approx(1)
    # two by hand: one is the best of both objectives, the other the worst, with twice the MACs
    corner = Curves(
        accuracy=np.array([[[0.5]], [[0.9]]]), loss=np.zeros((2, 1, 1)), costs=np.array([[1, 8, 1], [1, 4, 1]]),
        features=np.zeros((2, 1), np.int64),
    )  # fmt: skip
    assert judge(corner, draw(corner, 0), [0], 1).quality == pytest.approx(0.01 / 1.21)
    assert judge(corner, draw(corner, 0), [0, 1], 1).quality == pytest.approx(1)
    # a quarter of that factor in MACs, in logarithms, is worth a quarter of the scale
    corner.costs[0, 1] = round(4 * 2**0.25 * 1e6)
    corner.costs[1, 1] = 4 * 10**6
    close = Curves(accuracy=corner.accuracy, loss=corner.loss, costs=corner.costs, features=corner.features)
    assert close.scaled == pytest.approx(np.array([[1, 0.25], [0, 0]]))


def test_after_each_full_training(curves: Curves) -> None:
    found = judge_each(curves, draw(curves, 3), range(5))
    assert [one.epochs for one in found] == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_train_each_network_once(curves: Curves, name: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    drawn = draw(curves, 0)
    trained = run_sampler(curves, drawn, SAMPLERS[name](0), 70)
    assert sorted(trained) == list(range(60))
    assert trained == run_sampler(curves, drawn, SAMPLERS[name](0), 70)


def test_samplers_learn() -> None:
    """On accuracies that a feature decides, TPE finds good networks sooner than chance."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    networks = 200
    level = np.linspace(0, 1, networks)
    known = Curves(
        accuracy=level[:, None, None], loss=1 - level[:, None, None],
        costs=np.full((networks, 3), 10), features=np.arange(networks)[:, None],
    )  # fmt: skip
    trained = run_sampler(known, draw(known, 0), SAMPLERS["TPE"](0), 40)
    assert np.mean(trained[20:]) > networks * 0.7


def test_races_spend_what_they_plan(curves: Curves) -> None:
    for racing in RACES[:4]:
        found = racing.run(curves, draw(curves, 0), 27)
        assert found.epochs == 27 + 9 * 2 + 3 * 7
    assert RACES[0].size_for(curves, 66) == 27
    assert RACES[0].size_for(curves, 1) == 1
    assert RACES[-1].run(curves, draw(curves, 0), 27).epochs >= 66


def test_a_race_of_one_rung_is_random_search(curves: Curves) -> None:
    drawn = draw(curves, 5)
    racing = Racing(name="full", spec=RaceSpec(min_epochs=10))
    assert racing.run(curves, drawn, 20) == judge(curves, drawn, drawn.order[:20], 200)


def test_without_noise_racing_is_sooner_there(tmp_path: Path) -> None:
    known = invent_curves(tmp_path / "curves.npz", noise=0)
    baselines, races = replay(known, repetitions=4, full=20)
    random, halving = baselines[0], races[0]
    point = halving.at(20 * 10)
    assert point is not None
    assert halving.winner[point].mean() >= random.winner[-1].mean() - 0.002
    reached = halving.epochs_to(random.quality[-1].mean())
    assert reached is not None
    assert reached < 200


def test_points_and_epochs() -> None:
    values = np.array([[0.5, 0.7], [0.8, 0.8], [0.7, 0.9]])
    one = Replay("x", (1, 2, 3), np.array([[10.0, 10], [20, 22], [30, 30]]), values, values)
    assert [one.at(epochs) for epochs in (9, 10, 20, 21, 99)] == [None, 0, 0, 1, 2]
    assert one.epochs_to(0.8) == 21
    assert one.epochs_to(0.9) is None


def test_bootstrap_covers_the_mean() -> None:
    normal = np.random.default_rng(1).normal(2, 1, 400)
    low, high = bootstrap(normal)
    assert low < normal.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)  # twice 1.96 standard errors
    assert bootstrap(np.full(20, 0.5)) == (0.5, 0.5)


def test_the_report(curves: Curves, tmp_path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    console = Console(record=True, width=120, file=StringIO())
    print_report(console, curves, *replay(curves, repetitions=2, full=8))
    text = console.export_text()
    for part in (
        "random, 8 networks",
        "TPE",
        "NSGA-II",
        "halving, training loss",
        "asha",
        "margin 0.005",
        "epochs to",
    ):
        assert part in text
    with pytest.raises(SystemExit, match="must be a table"):
        main(str(tmp_path / "none.npz"))
