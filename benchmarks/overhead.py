"""What Ray, Optuna and SQL cost a job once workers stand, against Tune as it comes. Run `make bench`.

Ours: 200 networks on 8 px digits, one epoch each, as `nas search` runs them; what is left of the time from the first
outcome to the last when training is taken out. Tune: trials that do nothing, without and with an import of torch.
"""

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

from nas.planning import make_plan
from nas.search_loop import Search
from nas.spec import parse_spec
from nas.start import workers_of
from trials.dataset import load_dataset
from trials.job import AnyJob, JobResult, Outcome
from trials.ray_tune import run_on_ray
from trials.store import Store

JOBS, WORKERS, TRIALS = 200, 2, 20
# in a process of its own: Ray reads its settings from the environment, and ours are for quickness
TUNE_AS_IT_COMES = """
import sys, time, tempfile, logging, ray
from ray import tune
kind = sys.argv[1]
def nothing(config):
    if kind == "torch":
        import torch
    tune.report({"x": 0})
ray.init(num_cpus=int(sys.argv[2]), include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL)
start = time.perf_counter()
tune.Tuner(tune.with_resources(nothing, {"cpu": 1}), tune_config=tune.TuneConfig(num_samples=int(sys.argv[3])),
           run_config=tune.RunConfig(storage_path=tempfile.mkdtemp(), verbose=0)).fit()
print((time.perf_counter() - start) / int(sys.argv[3]))
"""


class TimedSearch(Search):
    """A search that remembers when which outcomes came."""

    told: list[tuple[float, list[JobResult]]]

    def tell(self, outcomes: Sequence[tuple[AnyJob, Outcome]]) -> None:
        """Keep the outcomes, then the time."""
        super().tell(outcomes)
        self.told.append((time.perf_counter(), [outcome for _, outcome in outcomes if isinstance(outcome, JobResult)]))


def our_overhead(folder: Path) -> tuple[float, float]:
    """Seconds a job beside its training, and seconds of training, on all workers together."""
    digits = load_digits()
    some = np.random.default_rng(0).permutation(len(digits.target))[:300]
    images = (digits.images[some] * (255 / 16)).astype(np.uint8)
    np.savez(folder / "digits.npz", images=images, labels=digits.target[some])
    spec = {
        "name": "overhead",
        "data": {"source": str(folder / "digits.npz")},
        "base": {
            "network": "lenet",
            "resolution": 6,
            "conv1": {"channels": 6, "kernel": 2},
            "conv2": {"channels": 6, "kernel": 2},
            "hidden": 16,
            "pool": False,
        },
        "budget": {"params": "1.0x", "macs": "1.0x"},
        "methods": [{"name": "compensation", "tolerance": 0.9}],
        "train": {"epochs": 1, "seeds": 1, "confirm": 0},
        "search": {"max_candidates": JOBS - 1, "workers": WORKERS},
        "storage": f"sqlite:///{folder}/nas.db",
    }
    plan = make_plan(parse_spec(spec, origin="benchmark"))
    dataset = load_dataset(plan.problem.spec.data)
    with Store(plan.problem.spec.storage, create=True) as store, workers_of(plan.problem.spec) as workers:
        search = TimedSearch(plan, store, dataset, lambda _: None)
        search.told = []
        run_on_ray(search, dataset, store.checkpoints, workers())
    assert not search.failures, search.failures
    (first, _), *later = search.told
    jobs = [result for _, results in later for result in results]
    training = fmean(result.wall_seconds for result in jobs) / WORKERS
    return (later[-1][0] - first) / len(jobs) - training, training


def tune_overhead(kind: str) -> float:
    """Seconds a trial of Tune with its default settings."""
    done = subprocess.run(
        [sys.executable, "-c", TUNE_AS_IT_COMES, kind, str(WORKERS), str(TRIALS)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Print one table."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        ours, training = our_overhead(Path(folder))
    table = Table("beside the training, a job", "ms", "times ours")
    table.add_row(f"nas search, {JOBS} jobs of {1000 * training * WORKERS:.0f} ms", f"{1000 * ours:.1f}", "")
    for kind, text in (("nothing", "Tune's default, trials that do nothing"), ("torch", "the same, importing torch")):
        seconds = tune_overhead(kind)
        table.add_row(text, f"{1000 * seconds:.0f}", f"{seconds / ours:.0f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
