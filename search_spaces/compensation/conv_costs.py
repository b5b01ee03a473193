"""What the networks of approaches II, III and IV cost as functions of conv1's filters."""

from collections.abc import Mapping

from search_spaces import formulas
from search_spaces.compensation.places import conv_of
from search_spaces.compensation.quadratic import Column, Quadratic
from search_spaces.compensation.site import Site
from search_spaces.compensation.solutions import COUNTS, Costs
from search_spaces.formulas import Integers
from search_spaces.ops import channels_of


def conv_costs(site: Site, values: Mapping[str, Column], fixed: int | None) -> Costs:
    """Whole network and edited layers, at values that broadcast together; at a K that is fixed, exactly."""
    return Costs(network=network_costs(site, values, fixed), layer=layer_costs_of(site, values))


def network_costs(site: Site, values: Mapping[str, Column], fixed: int | None) -> dict[str, list[Quadratic]]:
    """The whole network's counts as functions of K1'."""
    conv, image, unit = conv_of(site.stem), site.base.input[0], site.unit
    area, window = values["side1"] ** 2, values["kernel1"] ** 2
    macs = formulas.conv_macs(image, unit, window=window, area=area)
    written = formulas.map_elements(unit, area)
    terms: dict[str, list[Quadratic]] = {
        "params": [Quadratic(0, formulas.conv_params(image, unit, window=window, bias=conv.bias))],
        "macs": [Quadratic(0, macs)],
        "flops": [Quadratic(0, macs + formulas.bias_additions(written, bias=conv.bias))],
        "activation_elements": [Quadratic(formulas.map_elements(image, values["resolution"] ** 2), written)],
    }
    if site.approach == "III":
        terms["activation_elements"].append(Quadratic(0, written + unit * site.target**2))
    if site.second is not None:
        _add_between(terms, site, values)
    rest = site.rest.at(fixed)
    summed = {name: [sum(terms[name], Quadratic()) + rest[name][0]] for name in COUNTS[:3]}
    return summed | {"activation_elements": terms["activation_elements"] + list(rest["activation_elements"])}


def _add_between(terms: dict[str, list[Quadratic]], site: Site, values: Mapping[str, Column]) -> None:
    """Add the layers from the first conv to the second, and that conv."""
    assert site.second is not None
    base, second = site.base, site.second
    channels, side = site.unit, values["side1"]
    for i, node in enumerate(second.between):
        behind = values[f"between{i}"]
        wider = channels * channels_of(base.shapes[node.name]) // channels_of(base.source_shapes(node)[0])
        samples: list[dict[str, Integers]] = []
        for width in (0, 1, 2):
            sources = ((channels * width, side, side),)
            out = (wider * width, behind, behind)
            op = node.op
            samples.append(
                {
                    "params": op.params(sources, out),
                    "macs": op.macs(sources, out),
                    "flops": op.flops(sources, out),
                    "activation_elements": op.activation(sources, out),
                }
            )
        for name in COUNTS:
            terms[name].append(_through(*(sample[name] for sample in samples)))
        channels, side = wider, behind
    conv, kept = conv_of(second.node), conv_of(second.node).out_channels
    window, area = values["kernel2"] ** 2, base.shapes[second.node.name][-1] ** 2
    macs = formulas.conv_macs(channels, kept, window=window, area=area)
    weights = formulas.conv_params(channels, kept, window=window, bias=False)
    terms["params"].append(Quadratic(kept if conv.bias else 0, weights))
    terms["macs"].append(Quadratic(0, macs))
    terms["flops"].append(Quadratic(formulas.bias_additions(kept * area, bias=conv.bias), macs))
    terms["activation_elements"].append(Quadratic(kept * area, channels * side**2))


def _through(zero: Integers, one: Integers, two: Integers) -> Quadratic:
    """The quadratic with these values at 0, 1 and 2."""
    square = (two - 2 * one + zero) // 2
    return Quadratic(zero, one - zero - square, square)


def layer_costs_of(site: Site, values: Mapping[str, Column]) -> dict[str, list[Quadratic]]:
    """The edited layers' counts as the paper's equations have them: no biases.

    params: eq. 9 and 15. flops: eq. 14, with the pool's, and eq. 19; macs without the pool's.
    """
    image, unit = site.base.input[0], site.unit
    area, window = unit * values["side1"] ** 2, values["kernel1"] ** 2
    params, macs = image * window * unit, image * window * area
    held = [Quadratic(formulas.map_elements(image, values["resolution"] ** 2), area)]
    flops = macs
    if site.approach == "III":
        flops = macs + area
        held.append(Quadratic(0, area + unit * site.target**2))
    if site.second is not None:
        inputs, kept = _inputs_of_second(site), conv_of(site.second.node).out_channels
        weights = inputs * kept * values["kernel2"] ** 2
        params, macs = params + weights, macs + weights * site.target**2
        flops = macs
        held.append(Quadratic(kept * site.target**2, inputs * values["before2"] ** 2))
    counts = {"params": params, "macs": macs, "flops": flops}
    return {name: [Quadratic(0, value)] for name, value in counts.items()} | {"activation_elements": held}


def _inputs_of_second(site: Site) -> int:
    """Channels that conv2 reads for each K."""
    assert site.second is not None
    read = channels_of(site.base.source_shapes(site.second.node)[0])
    return int(site.unit * read // conv_of(site.stem).out_channels)
