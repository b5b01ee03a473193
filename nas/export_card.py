"""A model card of an exported network: what its file states, as Markdown with Hugging Face's front matter."""

import json
from collections.abc import Iterable, Iterator, Sequence
from math import sqrt

from nas.export_format import MAC_RULE, Accuracy, Data, ExportedNetwork
from search_spaces import Architecture
from search_spaces.exits import exit_costs


def card_of(info: ExportedNetwork) -> str:
    """The card. Texts of the file stand in it as code, so that none of them can be markup."""
    sections = (
        _front_matter(info),
        _summary(info),
        _section("Costs and budget", _costs(info)),
        _section("Accuracy", _accuracies(info)),
        _section("How it was chosen", _choice(info)),
        _section("Data", _data(info.data)),
        _section("Training", _training(info)),
        _section("Use", _use(info)),
        _section("Limits", _limits(info)),
        _section(
            "Versions", _table(("software", "version"), [tuple(map(_code, one)) for one in info.versions.items()])
        ),
    )
    return "\n\n".join(sections) + "\n"


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _front_matter(info: ExportedNetwork) -> str:
    """YAML, whose texts are written as JSON, which is YAML."""
    source, name = json.dumps(info.data.source), json.dumps(info.search)
    return "\n".join(
        (
            "---",
            "library_name: pytorch",
            "pipeline_tag: image-classification",
            "tags: [image-classification, neural-architecture-search]",
            "metrics: [accuracy]",
            "model-index:",
            f"- name: {name}",
            "  results:",
            "  - task: {type: image-classification}",
            f"    dataset: {{name: {source}, type: {source}, split: test}}",
            "    metrics:",
            f"    - {{type: accuracy, value: {info.weights.test_accuracy!r}}}",
            "---",
        )
    )


def _summary(info: ExportedNetwork) -> str:
    networks = [Architecture.from_json(data) for data in info.networks]
    channels, classes = networks[0].input[0], networks[0].output[0]
    lines = [
        f"# {_code(info.search)}: images of {_counted(channels, 'channel')} to {classes} classes",
        "",
        f"Found by {_code(info.method)} in the search {_code(info.search)}, exported at {_code(info.created_at)}; "
        f"network {_code(info.network_id)}.",
        "",
    ]
    if info.dynamic is None:
        return "\n".join((*lines, f"One network, of {info.resolution} px."))
    lines += [
        f"Dynamic: {_counted(len(networks), 'network')}, {_counted(len(info.dynamic.exits), 'exit')}. An "
        "image is answered at the first exit whose calibrated confidence is above its threshold; others go on.",
        "",
    ]
    names = [name.name for network in networks for name in exit_costs(network)]
    rows = (
        (
            str(number),
            f"{_code(name)} at {networks[one.network].resolution} px",
            f"{one.macs:,}",
            "answers all" if one.threshold is None else f"{one.threshold:.4f}",
            f"{one.temperature:.4f}",
            f"{one.reached['validation'] / info.dynamic.exits[0].reached['validation']:.1%}",
        )
        for number, (name, one) in enumerate(zip(names, info.dynamic.exits, strict=True), 1)
    )
    columns = ("exit", "layer", "multiply-adds", "threshold", "temperature", "of validation images that reach it")
    return "\n".join((*lines, _table(columns, rows)))


def _costs(info: ExportedNetwork) -> str:
    rows = [
        (name, _number(value), _number(getattr(info.base.costs, name)), _number(info.budget.get(name)),
         _number(info.slack.get(name)))
        for name, value in info.costs.model_dump(exclude_none=True).items()
    ]  # fmt: skip
    rule = MAC_RULE if info.mac_rule == MAC_RULE else _code(info.mac_rule)
    note = f"For one image; {rule}."
    if info.dynamic is not None:
        note += " macs is the mean over the validation images, macs_worst that of an image that comes to the last exit."
    if info.latency is not None and info.costs.latency_ms is not None:
        note += (
            f" latency_ms was measured on {_code(info.latency.device)}: the {info.latency.average} of 80 batches of "
            f"{info.latency.batch_size}."
        )
    return f"{_table(('', 'this network', 'base', 'bound', 'slack'), rows)}\n\n{note}"


def _accuracies(info: ExportedNetwork) -> str:
    rows = [
        (split, "this network", *_accuracy(own), f"{of_weights:.4f}")
        for split, own, of_weights in (
            ("validation", info.validation_accuracy, info.weights.validation_accuracy),
            ("test", info.test_accuracy, info.weights.test_accuracy),
        )
    ]
    rows += [
        (split, "base", *_accuracy(base), "")
        for split, base in (("validation", info.base.validation_accuracy), ("test", info.base.test_accuracy))
    ]
    if info.found is not None:
        rows += [
            (split, "this network, as the search trained it", *_accuracy(found), "")
            for split, found in (("validation", info.found.validation_accuracy), ("test", info.found.test_accuracy))
        ]
    text = _table(("split", "", "mean", "std over seeds", "seeds", "images", "of these weights"), rows)
    if info.found is not None:
        text += (
            "\n\nThe base was trained as the search trains, not in full: compare it with this network as the search "
            "trained it."
        )
    return text


def _accuracy(accuracy: Accuracy) -> tuple[str, str, str, str]:
    spread = "one seed" if accuracy.std is None else f"{accuracy.std:.4f}"
    return f"{accuracy.mean:.4f}", spread, str(accuracy.n), _number(accuracy.images)


def _choice(info: ExportedNetwork) -> str:
    training = info.training if info.found is None else info.found.training
    bounds = ", ".join(f"{name} at most {_number(bound)}" for name, bound in info.budget.items())
    text = f"Among the networks of the search that keep its budget ({bounds}) it was chosen by accuracy on validation. "
    fresh, found = _counted(training.confirm, "fresh seed"), _counted(training.seeds, "seed")
    text += f"That was judged with {fresh} beside {found}. " if training.confirm else f"That was judged with {found}. "
    if info.found is not None:
        return text + "Then it was trained in full with one seed; its test split was scored once, when that had ended."
    text += "The test split was scored once, for base and winner. "
    return text + f"The weights are those of seed {info.weights.seed}, the best of its seeds on validation."


def _data(data: Data) -> str:
    rows = [
        ("source", _code(data.source)),
        *((f"images of {_code(name)}", _number(count)) for name, count in data.sizes.items()),
        ("side when decoded", "their own" if data.side is None else f"{data.side} px"),
        ("split", f"validation {data.split.validation:g}, test {data.split.test:g}, seed {data.split.seed}"),
        ("SHA-256 of images and labels", _code(data.fingerprint)),
        ("SHA-256 of the split", _code(data.split_fingerprint)),
    ]
    return _table(("", ""), rows)


def _training(info: ExportedNetwork) -> str:
    training = info.training
    text = f"Preset {_code(training.preset)}, {training.epochs} epochs, from {_start(info)}."
    if training.recipe is not None:
        recipe = training.recipe.model_dump().items()
        text += "\n\n" + _table(("", "value"), ((name, _code(json.dumps(value))) for name, value in recipe))
    if info.found is not None:
        text += (
            f"\n\nThe search trained {info.found.training.epochs} epochs, preset {_code(info.found.training.preset)}."
        )
    return text


def _start(info: ExportedNetwork) -> str:
    training = info.training
    if training.start_sha256:
        return f"weights with SHA-256 {_code(training.start_sha256)}"
    if training.origin is not None:
        return "the base's weights, narrowed by magnitude"
    return "fresh weights" if info.format_version > 3 else "weights of which the file, an older one, says nothing"


def _use(info: ExportedNetwork) -> str:
    file = info.weights.file
    stem = _file((file or "winner.safetensors").removesuffix(".safetensors"))
    several = info.dynamic is not None
    stage = f"{stem}.1" if several else stem
    side = "its network's" if several else info.resolution
    more = f" and so on, a file for each of {len(info.dynamic.exits)} exits" if info.dynamic is not None else ""
    return f"""Images are uint8 [N, C, H, W], 0 to 255. What `nas export` writes of it:

```python
import nas

scores = nas.load("{stem}.json")(images)  # any side; needs nas-service
```

```python
from safetensors.torch import load_file
from {stem if stem.isidentifier() else "winner"} import Network  # --code {stem}.py; any side; needs torch alone

network = Network()
network.load_state_dict(load_file("{stem}.safetensors"))
scores = network.eval()(images)
```

- `--torch {stem}.pt2`: `torch.export.load("{stage}.pt2").module()(images)`{more}; images of {side} px.
- `--onnx {stem}.onnx`: `onnxruntime.InferenceSession("{stage}.onnx").run(["scores"], {{"images": images}})`{more}."""


def _limits(info: ExportedNetwork) -> str:
    test = info.test_accuracy
    images = test.images or info.data.sizes.get("test", 0)
    accuracy = info.weights.test_accuracy
    channels = len(info.preprocessing.mean)
    sides = dict.fromkeys(
        f"{side} x {side}" for side in (Architecture.from_json(one).resolution for one in info.networks)
    )
    lines = [
        f"Every image is brought to {' and '.join(sides)} px ({info.preprocessing.resize}): what is lost there "
        "it cannot see, and images that are not square are distorted.",
        f"It takes {_counted(channels, 'channel')}, divided by {info.preprocessing.scale}, less mean "
        f"{_list(info.preprocessing.mean)}, over std {_list(info.preprocessing.std)}. Other preprocessing gives other "
        "scores.",
        "It knows the classes of its training images alone and answers one of them for every image. Nothing was "
        "measured on images unlike those: other cameras, other sources, other shares of the classes.",
    ]
    if images:
        error = sqrt(accuracy * (1 - accuracy) / images)
        lines.append(
            f"Its test accuracy is over {images:,} images, so its standard error is {error:.4f}; seeds add their "
            "spread."
        )
    if info.dynamic is None:
        lines.append(
            "Softmax of its scores was not calibrated: it is no probability. `nas evaluate` measures how far off."
        )
    else:
        lines.append(
            "Temperatures and thresholds are fitted on the validation images: on others the shares of the exits, and "
            "with them the expected multiply-adds, may differ."
        )
    return "\n".join(f"- {line}" for line in lines)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def lines() -> Iterator[str]:
        for row in (columns, ["---"] * len(columns), *rows):
            yield f"| {' | '.join(row)} |"

    return "\n".join(lines())


def _code(text: str) -> str:
    """A text of the file's, as code of one line."""
    plain = "".join(one if one.isprintable() and one not in "`|" else "?" for one in text)
    return f"`{plain[:200]}`" if plain else "none"


def _file(name: str) -> str:
    """The name of a file where it may stand in code."""
    return name if all(one.isalnum() or one in "._-" for one in name) and name.isascii() else "winner"


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".removesuffix(".00")


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
