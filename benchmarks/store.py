"""What it costs to keep a result, and to read a front, in a small and in a large search. Run `make bench`.

On a SQLite file, or on PostgreSQL: `python -m benchmarks.store postgresql://me@host/empty`. A large search is 10,000
trainings, all scored on test, too, of 2,000 networks, or of as many networks (`python -m benchmarks.store URL 1`); its
first rows are written in bulk, those that are timed as a search writes them.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import MetaData

from dashboards import read_front
from search_spaces import Conv, LeNet
from trials import DataSettings, Job, JobResult, Recipe
from trials.records import StoredSearch, TrialRecord
from trials.store import Store
from trials.studies import make_trial

SMALL, LARGE, TIMED, READ, BULK = 100, 10_000, 50, 7, 500
NETWORK = LeNet(
    conv1=Conv(out_channels=6, kernel=3), conv2=Conv(out_channels=8, kernel=5), hidden=50, pool=False
).architecture((1, 28, 28), 10)
SEEDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5  # of a network
SPEC = {
    "train": {"seeds": SEEDS, "confirm": 0},
    "objectives": ["accuracy", "macs"],
    "methods": [{"name": "uniform"}],
}


def job_of(number: int) -> Job:
    """The training of a network."""
    return Job(
        kind="train",
        architecture=NETWORK,
        data=DataSettings(source="mnist5k"),
        images_id="digits",
        recipe=Recipe(epochs=30),
        seed=number,  # in place of a network of its own: another id
    )


def result_of(number: int) -> JobResult:
    """What it found: as many losses as epochs."""
    return JobResult(
        correct=500 + number * 7919 % 500,
        images=1000,
        weights_sha256=f"{number:064x}",
        wall_seconds=30.5,
        losses=tuple(2.3 / (epoch + 1 + number % 7) for epoch in range(30)),
    )


def trial_of(training: int, job: Job) -> TrialRecord:
    """How it appears in Optuna, with as many attributes as a search gives it."""
    number, seed = divmod(training, SEEDS)
    macs = 1_000_000 + number * 104_729 % 1_000_000
    costs = {"params": 100_000 + number, "macs": macs, "activation_elements": 5000, "flops": macs + 10, "peak": 6000}
    return TrialRecord(
        params={"method": "uniform", "resolution": 28, "width": 0.5 + number / LARGE},
        spans={"method": ["base", "uniform"], "resolution": [14, 28], "width": [0.5, 2.5]},
        attributes={
            "job_id": job.id,
            "network_id": f"{number:016x}",
            "method": "uniform" if number else "base",
            "family": "uniform" if number else "base",
            "resolution": 28,
            "seed": seed,
            "role": "search",
            "images_id": job.images_id,
            "coverage": 1.0,
            "choice": {"width": 0.5 + number / LARGE},
            **costs,
        },
        objectives=["accuracy", "macs"],
        constraints={"params": -number, "macs": macs - 2_000_000},
    )


def begin(store: Store) -> None:
    """A search of all trainings that there will be."""
    ids = [job_of(number).id for number in range(LARGE + TIMED)]
    networks = [{"method": "uniform", "choice": {"width": 1.0}, "architecture": NETWORK.to_json()}] * len(ids)
    empty = StoredSearch(name="a", spec=SPEC, networks=networks, job_ids=ids, data={"fingerprint": ""}, versions={})
    store.begin(empty, ["maximize", "minimize"], ["validation accuracy", "macs"])


def fill(store: Store, numbers: Sequence[int]) -> None:
    """The rows of these trainings, many in one transaction."""
    for first in range(0, len(numbers), BULK):
        some = [(number, job_of(number), result_of(number)) for number in numbers[first : first + BULK]]
        store.record_results([(job, result) for _, job, result in some])
        tests = [
            (job.scored_on_test(result.weights_sha256), replace(result, correct=result.correct // 2))
            for _, job, result in some
        ]
        store.record_results(tests)
        _add_trials(store, [(number, trial_of(number, job), result) for number, job, result in some])


def _add_trials(store: Store, trials: Sequence[tuple[int, TrialRecord, JobResult]]) -> None:
    """As `Store.record_trial` does, which takes a transaction for each."""
    engine = store.engines[1]
    metadata = MetaData()
    metadata.reflect(engine)
    rows: dict[str, list[dict[str, Any]]] = {}

    def add(table: str, **values: Any) -> None:
        rows.setdefault(table, []).append(values)

    for number, record, result in trials:
        frozen, id_ = make_trial(record, result), number + 1
        add(
            "trials",
            trial_id=id_,
            number=number,
            study_id=1,
            state="COMPLETE",
            datetime_start=frozen.datetime_start,
            datetime_complete=frozen.datetime_complete,
        )
        for objective, value in enumerate(frozen.values):
            add("trial_values", trial_id=id_, objective=objective, value=value, value_type="FINITE")
        for kind, attributes in (("user", frozen.user_attrs), ("system", frozen.system_attrs)):
            for key, value in attributes.items():
                add(f"trial_{kind}_attributes", trial_id=id_, key=key, value_json=json.dumps(value))
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name in rows:
                connection.execute(table.insert(), rows[table.name])
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(
                "SELECT setval(pg_get_serial_sequence('trials', 'trial_id'), (SELECT max(trial_id) FROM trials))"
            )


def time_recording(store: Store, numbers: Sequence[int]) -> float:
    """Median milliseconds in which a result and its trial are kept."""
    times = []
    for number in numbers:
        job, result = job_of(number), result_of(number)
        record = trial_of(number, job)
        start = time.perf_counter()
        store.record_results([(job, result)])
        store.record_trial("a", record, result)
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def time_front(url: str) -> float:
    """Median milliseconds in which a process that has just opened the database reads the front."""

    def read() -> float:
        with Store(url) as store:
            start = time.perf_counter()
            front = read_front(store, "a")
            seconds = time.perf_counter() - start
        assert front.trained in ((SMALL + TIMED) // SEEDS, LARGE // SEEDS)
        return seconds

    return 1000 * median(read() for _ in range(READ))


def measure(url: str, folder: Path) -> dict[str, tuple[float, float]]:
    """Milliseconds in a small and in a large search, by what was timed."""
    with Store(url, create=True, checkpoints=str(folder)) as store:
        begin(store)
        fill(store, range(SMALL))
        small = time_recording(store, range(SMALL, SMALL + TIMED))
    front = time_front(url)
    with Store(url, create=True) as store:
        fill(store, range(SMALL + TIMED, LARGE - TIMED))
        large = time_recording(store, range(LARGE - TIMED, LARGE))
    return {"keep a result and its trial": (small, large), "read the front": (front, time_front(url))}


def main() -> None:
    """A table of both."""
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/nas.db"
        found = measure(url, Path(folder))
    table = Table(f"{url.partition(':')[0]}, {SEEDS} seeds, ms", f"{SMALL} trials", f"{LARGE:,} trials", "ratio")
    for name, (small, large) in found.items():
        table.add_row(name, f"{small:.1f}", f"{large:.1f}", f"{large / small:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
