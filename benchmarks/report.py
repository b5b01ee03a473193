"""A report of a search of 1,000 trials: seconds and bytes. `python -m benchmarks.report [networks [seeds]]`

The search is invented: its networks are a real plan's, their results are drawn; all have results on test, as where
methods are compared.
"""

import random
import sys
import tempfile
import time

from dashboards.report import read_report
from nas.begin import begin_search
from nas.planning import make_plan
from nas.show_report import Format, render
from nas.spec import parse_spec
from nas.trial_records import spans_of, training_record
from trials.dataset import load_dataset
from trials.job import JobResult
from trials.store import Store

FORMS: tuple[Format, ...] = ("html", "md", "json")


def main() -> None:
    """Make the search, then the report in every form."""
    networks, seeds = (int(text) for text in [*sys.argv[1:], "334", "3"][:2])
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/nas.db"
        begun = time.perf_counter()
        trials = invent_search(url, networks, seeds)
        print(f"{trials} trials of {networks} networks, made in {time.perf_counter() - begun:.0f} s")
        begun = time.perf_counter()
        with Store(url) as store:
            report = read_report(store, "invented")
        read = time.perf_counter() - begun
        print(f"read, with {len(report.pictures)} figures: {read:.2f} s")
        for form in FORMS:
            begun = time.perf_counter()
            text = render(report, form)
            seconds = time.perf_counter() - begun
            print(f"{form}: {seconds:.2f} s, in all {read + seconds:.2f} s; {len(text.encode()):,} bytes")
        largest = max(len(one.for_dashboard()) for one in report.pictures)
        print(f"largest figure for optuna-dashboard: {largest:,} bytes")


def invent_search(url: str, count: int, seeds: int) -> int:
    """A finished search in a database; the number of its trials."""
    spec = parse_spec(
        {
            "name": "invented",
            "data": {"source": "mnist5k"},
            "base": {
                "network": "lenet",
                "resolution": 14,
                "conv1": {"channels": 30, "kernel": 3},
                "conv2": {"channels": 30, "kernel": 5},
            },
            "budget": {"params": "1.0x", "macs": "1.0x"},
            "methods": [{"name": "compensation", "tolerance": 0.4}, {"name": "uniform", "shares": [0.5]}],
            "train": {"preset": "borji", "seeds": seeds, "confirm": 0, "precision": "fp32"},
            "objectives": ["accuracy", "macs", "params"],
            "search": {"max_candidates": count - 2},
        },
        origin="the benchmark",
    )
    plan, dataset, draw = make_plan(spec), load_dataset(spec.data), random.Random(0)
    with Store(url, create=True) as store:
        networks = begin_search(plan, store, dataset)
        spans = spans_of(networks, spec)
        for network in networks:
            skill = draw.gauss(0.95, 0.01)
            for job in plan.problem.jobs(network, dataset.id):
                weights = f"{draw.getrandbits(256):064x}"
                results = [_drawn(draw, skill, weights) for _ in range(2)]
                store.record_results([(job, results[0]), (job.scored_on_test(weights), results[1])])
                attributes = {"seed": job.seed, "role": "search"}
                record = training_record(network, job, attributes, spans, plan.problem, {})
                store.record_trial(spec.name, record, results[0])
        store.set_finished(spec.name, True)
    return len(networks) * seeds


def _drawn(draw: random.Random, skill: float, weights: str) -> JobResult:
    correct = round(1000 * min(0.999, skill + draw.gauss(0, 0.004)))
    return JobResult(correct=correct, images=1000, weights_sha256=weights, wall_seconds=draw.uniform(1, 5))


if __name__ == "__main__":
    main()
