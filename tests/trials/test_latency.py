"""Measured times: of the order that they must have, and errors."""

import pytest

from search_spaces.zoo import make_network
from trials.latency import LatencyError, measure_latency


def test_more_work_takes_longer() -> None:
    small = measure_latency(make_network("lenet"), warm_up=3, measured=20)
    large = measure_latency(make_network("resnet18:stem=64"), warm_up=1, measured=5)  # a thousand times the MACs
    assert 0 < small.lowest_ms <= small.median_ms < large.lowest_ms
    assert small.lowest_ms <= small.mean_ms
    assert (small.batch_size, small.device, small.threads, small.warm_up, small.measured) == (1, "cpu", 1, 3, 20)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "the batch size must be at least 1, but is 0"),
        ({"device": "nowhere"}, "the device must be one that torch has, such as cpu or cuda, but 'nowhere'"),
        ({"device": "meta"}, "the device must be one that computes"),
    ],
)
def test_errors(settings: dict[str, int], message: str) -> None:
    with pytest.raises(LatencyError, match=message):
        measure_latency(make_network("lenet"), **settings)  # type: ignore[arg-type]


def test_mean_and_median(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the batches after the warm-up, by a clock that is given."""
    clock = iter([0.0, 5.0, 5.0, 5.001, 5.001, 5.003, 5.003, 5.012])  # 5 s, then 1, 2 and 9 ms
    monkeypatch.setattr("trials.latency.time.perf_counter", lambda: next(clock))
    found = measure_latency(make_network("lenet"), warm_up=1, measured=3)
    assert (found.lowest_ms, found.median_ms, found.mean_ms) == pytest.approx((1, 2, 4))


def test_a_cache_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    with pytest.raises(
        LatencyError, match=r"must lock cpu with a file in /dev/null/cache/nas-service/devices, but: Not"
    ):
        measure_latency(make_network("lenet"), warm_up=0, measured=1)
