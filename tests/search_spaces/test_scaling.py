"""Budgets are met exactly: never above, as close as channels allow, along the law."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import COSTS, Architecture, BudgetError, Conv, NetworkError, count_cost
from search_spaces.batch_cost import BatchCost
from search_spaces.ops import Add, Shortcut
from search_spaces.power_law import PowerLaw, uniform_law
from search_spaces.scaling import Scaled, scale_to, scale_to_each
from search_spaces.sketch import Sketch
from search_spaces.widths import with_widths
from search_spaces.zoo import make_network
from search_spaces.zoo.blocks import add_classifier, add_conv, add_pool
from tests.search_spaces.test_widths import grouped

REFERENCE: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "reference" / "neuralscale.json").read_text()
)["fits"]
CASES = [(fit, target) for fit in REFERENCE for target in fit["targets"]]
RATIOS = (0.05, 0.1, 0.25, 0.75, 1.0, 1.7, 4.0)
ZOO = (
    "vgg11", "preact_resnet18", "preact_resnet18:shortcuts=coupled", "neuralscale_mobilenetv2", "resnet18",
    "mobilenet_v2",
)  # fmt: skip


def case_id(value: Any) -> str:
    if "ratio" in value:
        return str(value["ratio"])
    return f"{value['network']}-{value['classes']}-{value['iteration']}"


def law_of(fit: Mapping[str, Any]) -> PowerLaw:
    return PowerLaw(alpha=fit["alpha"], beta=fit["beta"], tau_range=fit["tau_range"])


def small_network() -> Architecture:
    """Three convs, of 8, 12 and 16 channels, on 8 px."""
    sketch = Sketch((3, 8, 8))
    for number, width in enumerate((8, 12, 16)):
        add_conv(sketch, f"conv{number}", Conv(out_channels=width, kernel=3, padding=1), "relu")
    add_pool(sketch)
    add_classifier(sketch, 4)
    return sketch.finish()


def residual_network() -> Architecture:
    """Two blocks whose shortcuts are identities where the widths are equal."""
    sketch = Sketch((3, 8, 8))
    add_conv(sketch, "stem", Conv(out_channels=6, kernel=3, padding=1), "relu")
    for block in range(2):
        source = sketch.last
        add_conv(sketch, f"inner{block}", Conv(out_channels=5, kernel=3, padding=1), "relu")
        branch = add_conv(sketch, f"outer{block}", Conv(out_channels=6, kernel=3, padding=1), None)
        sketch.add(f"sum{block}", Add(), branch, sketch.add(f"skip{block}", Shortcut(), source, source, branch))
    add_pool(sketch)
    add_classifier(sketch, 4)
    return sketch.finish()


def costs_of(network: Architecture, widths: Sequence[int]) -> dict[str, int]:
    return count_cost(with_widths(network, widths)).bounded()


def keeps(costs: Mapping[str, int], bounds: Mapping[str, float]) -> bool:
    return all(costs[name] <= bound for name, bound in bounds.items())


def fill_by_hand(network: Architecture, phi: Sequence[float], bounds: Mapping[str, float]) -> list[int]:
    """The rule of `scale_to` for params and MACs, one network at a time."""
    batch = BatchCost(network)
    widths = [max(1, int(width)) for width in phi]
    while True:
        ranked = sorted(range(len(phi)), key=lambda i: -(phi[i] - widths[i]) / phi[i])
        for i in ranked:
            wider = [width + (i == j) for j, width in enumerate(widths)]
            convs = batch.count_projections([widths, wider])
            if convs[1] <= convs[0] and keeps(costs_of(network, wider), bounds):
                widths = wider
                break
        else:
            return widths


@pytest.mark.parametrize(("fit", "target"), CASES, ids=case_id)
def test_reference_cases(fit: dict[str, Any], target: dict[str, Any]) -> None:
    """Between 99.9 and 100 % of the target, near the tau at which the law's widths, not rounded, meet it."""
    network = make_network(fit["network"], classes=fit["classes"])
    scaled = scale_to(BatchCost(network), law_of(fit), {"params": target["params"]})
    assert 0.999 * target["params"] <= costs_of(network, scaled.widths)["params"] <= target["params"]
    assert scaled.costs == costs_of(network, scaled.widths)
    assert target["tau"] <= scaled.tau <= 1.02 * target["tau"]
    assert scaled.extrapolated is (scaled.tau > fit["tau_range"][1])
    assert scaled.costs["params"] >= target["filled"] - 0.0005 * target["params"]


@pytest.mark.parametrize(("fit", "target"), CASES, ids=case_id)
def test_the_authors_widths(fit: dict[str, Any], target: dict[str, Any]) -> None:
    """Their loop, on their count of parameters, ends with their widths; so alpha, beta and phi are understood."""
    alpha, beta, goal = np.array(fit["alpha"]), np.array(fit["beta"]), target["params"]
    tau, steps = float(goal), 0
    while True:
        count = count_as_authors(fit, np.floor(alpha * tau**beta))
        if steps == target["authors"]["steps"] or (fit["tolerance"] and abs(count - goal) <= fit["tolerance"] * goal):
            break
        tau -= fit["rate"] * (count - goal) * float((alpha * beta * tau ** (beta - 1)).sum())  # without dh/dphi
        steps += 1
    widths = np.floor(alpha * tau**beta)
    assert np.abs(widths - target["authors"]["widths"]).max() <= 1
    assert count == pytest.approx(target["authors"]["params"], rel=1e-4)


def count_as_authors(fit: Mapping[str, Any], widths: np.ndarray[Any, Any]) -> float:
    """Their parameters: a shortcut that differs in stride alone is not counted."""
    inputs = np.append(3, widths[:-1])
    count = 9 * (inputs * widths).sum() + widths[-1] * fit["classes"] + fit["classes"]
    if fit["network"] == "vgg11":
        return float(count + 3 * widths.sum())  # bias, norm
    ends = widths[0::2]
    return float(count + 2 * widths.sum() + (ends[:-1] * ends[1:])[ends[:-1] != ends[1:]].sum())


@pytest.mark.parametrize("multiple", [1, 8])
@pytest.mark.parametrize("name", ZOO)
def test_ratios_of_the_zoo(name: str, multiple: int) -> None:
    network = make_network(name, resolution=32)
    batch, base = BatchCost(network), count_cost(network).bounded()
    for cost in ("params", "macs"):
        ratios = [ratio for ratio in RATIOS if multiple == 1 or ratio > 0.05]
        bounds = [ratio * base[cost] for ratio in ratios]
        for bound, scaled in zip(
            bounds, scale_to_each(batch, uniform_law(network), {cost: bounds}, multiple=multiple), strict=True
        ):
            assert scaled.costs == costs_of(network, scaled.widths)
            assert (0.995 if multiple == 1 else 0.99) * bound <= scaled.costs[cost] <= bound
            assert all(width >= multiple and width % multiple == 0 for width in scaled.widths)
            assert scaled.binding == cost
            assert scaled.shares == {cost: scaled.costs[cost] / int(bound)}


@pytest.mark.parametrize("name", ZOO)
def test_own_cost_gives_own_widths(name: str) -> None:
    """Along the uniform law, by any bound; widths that are not multiples of their divisors cannot come out."""
    network = make_network(name)
    batch = BatchCost(network)
    scaled = scale_to(batch, uniform_law(network), count_cost(network).bounded())
    assert scaled.widths == batch.groups.widths


@pytest.mark.parametrize("name", ["preact_resnet18", "neuralscale_mobilenetv2"])
def test_identities_are_kept(name: str) -> None:
    """A uniform baseline stays one: filling makes no conv of a shortcut."""
    network = make_network(name)
    batch, base = BatchCost(network), count_cost(network).params
    found = scale_to_each(batch, uniform_law(network), {"params": [ratio * base for ratio in RATIOS]})
    own = batch.count_projections([batch.groups.widths])[0]
    assert batch.count_projections([one.widths for one in found]).max() <= own


@settings(max_examples=60)
@given(
    laws=st.tuples(*[st.tuples(st.floats(0.02, 2), st.floats(0.1, 0.9))] * 3),
    params=st.integers(200, 60_000),
    macs=st.none() | st.integers(5_000, 3_000_000),
)
def test_small_networks_equal_brute_force(laws: Any, params: int, macs: int | None) -> None:
    network = small_network()
    law = PowerLaw(alpha=tuple(a for a, _ in laws), beta=tuple(b for _, b in laws))
    bounds = {"params": params} | ({} if macs is None else {"macs": macs})
    scaled = scale_to(BatchCost(network), law, bounds)
    # tau is the largest: a little below it the floored widths fit, at every larger tau with other widths they do not
    floored = np.maximum(1, np.floor(law.widths_at(scaled.tau * (1 - 1e-9)))).astype(int)
    assert keeps(costs_of(network, floored.tolist()), bounds)
    above = np.maximum(1, np.floor(law.widths_at(scaled.tau * (1 + np.geomspace(1e-9, 10, 50))))).astype(int)
    for row in np.unique(above, axis=0).tolist():
        assert not keeps(costs_of(network, row), bounds) or row == floored.tolist()
    # the filled widths are those of the rule, and maximal
    assert list(scaled.widths) == fill_by_hand(network, law.widths_at(scaled.tau * (1 - 1e-12)).tolist(), bounds)
    for i in range(3):
        wider = [width + (i == j) for j, width in enumerate(scaled.widths)]
        assert not keeps(costs_of(network, wider), bounds)


@settings(max_examples=40)
@given(betas=st.lists(st.floats(0.1, 0.9), min_size=5, max_size=5), params=st.integers(400, 40_000))
def test_shortcuts_equal_brute_force(betas: list[float], params: int) -> None:
    network = residual_network()
    batch = BatchCost(network)
    scaled = scale_to(batch, PowerLaw(alpha=(0.2,) * 5, beta=tuple(betas)), {"params": params})
    assert scaled.costs == costs_of(network, scaled.widths)
    assert scaled.costs["params"] <= params
    for i in range(5):
        wider = [width + (i == j) for j, width in enumerate(scaled.widths)]
        convs = batch.count_projections([scaled.widths, wider])
        assert convs[1] > convs[0] or costs_of(network, wider)["params"] > params


def test_many_budgets_are_as_one_by_one() -> None:
    batch, law = BatchCost(make_network("vgg11")), law_of(REFERENCE[0])
    params, macs = np.geomspace(3e4, 4e7, 9).tolist(), np.geomspace(3e8, 4e6, 9).tolist()
    together = scale_to_each(batch, law, {"params": params, "macs": macs})
    assert together == [scale_to(batch, law, {"params": p, "macs": m}) for p, m in zip(params, macs, strict=True)]
    assert {one.binding for one in together} == {"params", "macs"}


@pytest.mark.parametrize("name", ["vgg11", "neuralscale_mobilenetv2"])
def test_several_bounds(name: str) -> None:
    """tau is the least of what each bound allows alone, and what binds is used up."""
    network = make_network(name)
    batch, base, law = BatchCost(network), count_cost(network).bounded(), uniform_law(network)
    for ratios in ((0.5, 0.2, 0.9), (0.2, 0.5, 0.9), (0.9, 0.9, 0.4), (1, 1, 1)):
        bounds = {name: int(ratio * base[name]) for name, ratio in zip(COSTS, ratios, strict=True)}
        scaled = scale_to(batch, law, bounds)
        assert keeps(scaled.costs, bounds)
        assert scaled.shares == {name: scaled.costs[name] / bounds[name] for name in COSTS}
        assert scaled.binding == max(scaled.shares, key=lambda name: scaled.shares[name])
        assert scaled.shares[scaled.binding] >= (0.995 if scaled.binding != "activation_elements" else 0.9)
        alone = min(scale_to(batch, law, {name: bound}).tau for name, bound in bounds.items())
        assert scaled.tau == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 2.0])
def test_activation_memory_alone(ratio: float) -> None:
    """Layers with small maps do not grow without end: beyond phi nothing is added that uses up nothing."""
    network = make_network("vgg11")
    batch, law = BatchCost(network), uniform_law(network)
    bound = ratio * count_cost(network).activation_elements
    scaled = scale_to(batch, law, {"activation_elements": bound})
    phi = law.widths_at(scaled.tau)
    assert scaled.costs["activation_elements"] <= bound
    assert (np.array(scaled.widths) <= np.ceil(phi)).all()
    widest = list(scaled.widths)
    widest[0] += 1  # the layer with the largest map
    assert costs_of(network, widest)["activation_elements"] > bound


@pytest.mark.parametrize("multiple", [1, 2, 8])
def test_divisors_and_multiples(multiple: int) -> None:
    network = grouped()
    batch = BatchCost(network)
    scaled = scale_to(batch, uniform_law(network), {"params": 40 * count_cost(network).params}, multiple=multiple)
    for group, width in zip(batch.groups.groups, scaled.widths, strict=True):
        assert width % np.lcm(group.divisor, multiple) == 0
    assert scaled.costs == costs_of(network, scaled.widths)


def test_floors() -> None:
    network = make_network("vgg11")
    batch, law = BatchCost(network), law_of(REFERENCE[0])
    free = scale_to(batch, law, {"params": 3e5})
    assert min(free.widths) < 30
    held = scale_to(batch, law, {"params": 3e5}, floors=30)
    assert min(held.widths) >= 30
    assert held.tau < free.tau
    assert scale_to(batch, law, {"params": 3e5}, floors=30, multiple=8).widths[0] >= 32
    each = [1, 1, 1, 1, 1, 1, 60, 1]
    assert scale_to(batch, law, {"params": 3e5}, floors=each).widths[6] >= 60


def test_width_that_does_not_change() -> None:
    """Where it alone costs too much, filling begins at the floors."""
    network = small_network()
    law = PowerLaw(alpha=(200.0, 0.5, 0.5), beta=(0, 0.5, 0.5))
    scaled = scale_to(BatchCost(network), law, {"params": 2000})
    assert 1900 < scaled.costs["params"] <= 2000
    wide = scale_to(BatchCost(network), law, {"params": 200_000})
    assert wide.widths[0] in {200, 201}


LAW = PowerLaw(alpha=(1.0, 1.0, 1.0), beta=(0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("bounds", "options", "message"),
    [
        ({"params": 50}, {}, "params must be at least 62, which the narrowest .*1,1,1.*is 50; raise the bound"),
        ({"params": 9e9, "macs": 99}, {}, "macs must be at least 2884, .* but the bound is 99; raise the bound, or"),
        ({"params": 2000}, {"floors": 20}, r"narrowest network costs \(widths 20,20,20\), but the bound is 2000"),
        ({"params": 600}, {"multiple": 8}, r"widths 8,8,8\), but the bound is 600; .* or lower floors, multiple"),
        ({}, {}, "a budget must bound one or more of params, macs, activation_elements, but bounds nothing"),
        ({"flops": 1e9}, {}, "a budget must bound params, macs, activation_elements, but names 'flops'"),
        ({"params": 0}, {}, r"params must be at least 1 and at most 2\^49, but the bound is 0"),
        ({"params": 2.0**50}, {}, "at most 2\\^49"),
        ({"params": float("nan")}, {}, "params must be at least 1 and at most 2\\^49, but the bound is nan"),
    ],
)
def test_bounds_that_cannot_be_met(bounds: dict[str, float], options: dict[str, Any], message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        scale_to(BatchCost(small_network()), LAW, bounds, **options)


@pytest.mark.parametrize(
    ("law", "options", "message"),
    [
        (PowerLaw(alpha=(1.0,), beta=(0.5,)), {}, "as many alpha as the network has width groups, 3, but has 1"),
        (LAW, {"floors": 0}, "floor must be at least 1, but is 0"),
        (LAW, {"floors": [1, 1]}, "one floor or 3, one a width group, but got 2"),
        (LAW, {"floors": 2**25}, "a floor must be at most 2\\^24"),
        (LAW, {"multiple": 0}, "multiple must be at least 1, but is 0"),
    ],
)
def test_options_that_cannot_be(law: PowerLaw, options: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        scale_to(BatchCost(small_network()), law, {"params": 5000}, **options)


def test_layers_beyond_what_can_be_counted() -> None:
    with pytest.raises(BudgetError, match=r"widths of at most 2\^24"):
        scale_to(BatchCost(small_network()), PowerLaw(alpha=(1e-9, 1e-9, 1.0), beta=(0.1, 0.1, 2)), {"params": 1e12})


def test_json() -> None:
    scaled = scale_to(BatchCost(small_network()), LAW, {"params": 5000})
    assert isinstance(scaled, Scaled)
    data = json.loads(json.dumps(scaled.to_json()))
    assert list(data) == ["widths", *COSTS, "tau", "binding", "shares", "extrapolated"]
    assert data["extrapolated"] is None
