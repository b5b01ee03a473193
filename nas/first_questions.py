"""The questions for a first spec, a function a section; each answer is checked as the search would check it."""

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from pydantic import ValidationError

from nas.ask import Ask
from nas.first_methods import PHRASES, method_keys, method_sections, sensible_methods
from nas.networks import MODULE, TORCHVISION, load_network
from nas.planning import Plan, make_plan
from nas.problem import Problem, make_problem
from nas.spec import Spec, parse_spec
from nas.spec_errors import SpecError, explain
from search_spaces import NasError
from search_spaces.zoo import ZOO
from search_spaces.zoo.parse import parse_network
from trials.data import DataError, DataSettings, SizesDiffer, SourceFacts, split_sizes
from trials.fields import parse_number
from trials.recipe import PRESETS
from trials.source_facts import describe_source
from trials.torchvision_source import TORCHVISION as DATASET

LARGEST_DEFAULT = 224  # px: what networks of publications are made for
BOUNDS = {"params": "params", "macs": "macs", "activation": "activation_elements"}  # options, and keys of the budget
ORIGIN = "the answers"
UNTOLD: dict[str, Any] = {"name": "first", "budget": {"params": "1.0x"}, "methods": []}  # until it is asked for
WORDS = {"params": "params", "macs": "MACs", "activation_elements": "activation elements"}


def parse(data: Mapping[str, Any]) -> Spec:
    """The spec of plain data; raises SpecError, which names no file."""
    try:
        return parse_spec(dict(data), origin=ORIGIN)
    except SpecError as error:
        raise SpecError(str(error).removeprefix(f"{ORIGIN}: ")) from error


def _some(text: str) -> str:
    if not text:
        raise SpecError("an answer is needed here")
    return text


def ask_data(ask: Ask) -> tuple[dict[str, Any], SourceFacts]:
    """The section data, and what its source holds; the images are decoded."""
    told = "images: mnist5k, torchvision:NAME, a folder with a folder for each class, an archive of such, or .npz"
    source = ask("data", "images", _some, "mnist5k" if ask.can_ask else None, told)
    data: dict[str, Any] = {"source": source}
    if source.startswith(DATASET):
        told = f"the folder in which {source.removeprefix(DATASET)} is, or to which it is downloaded"
        data["root"] = ask("root", "folder", _some, "data", told)
    side = ask("side", "", str, "") if ask.has("side") else ""
    data |= {"side": side} if side else {}
    ask.tell("looking at the images ...")
    try:
        facts = _facts(data)
    except SizesDiffer as error:
        if side or not ask.can_ask:
            raise DataError(f"{error} (--side)") from error
        told = (
            "the images have several sizes, or are not square: a side in pixels, to which all are resized and cropped"
        )
        data["side"] = ask("side", "side", _some, "64", told)
        facts = _facts(data)
    settings = _settings(data)
    ask.tell(f"  {describe(settings, facts)}")
    data |= {} if settings.side is None else {"side": settings.side}
    data |= {"split": {part: 0.2 for part in ("validation", "test") if part not in facts.own}}
    if not data["split"]:
        del data["split"]
    return data, facts


def _settings(data: Mapping[str, Any]) -> DataSettings:
    try:
        return DataSettings.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"data.{explain(error, DataSettings)}") from error


def _facts(data: Mapping[str, Any]) -> SourceFacts:
    return describe_source(_settings(data))


def describe(settings: DataSettings, facts: SourceFacts) -> str:
    """What a source holds, in words."""
    sizes = split_sizes(settings.split, facts)
    parts = ", ".join(f"{size:,} {part}" for part, size in sizes.items())
    drawn = [part for part in sizes if part != "train" and part not in facts.own]
    colours = "grey" if facts.channels == 1 else f"{facts.channels} channels"
    from_rest = f" ({' and '.join(drawn)} drawn from the rest)" if drawn else ""
    return f"{facts.images:,} images of {facts.side} px, {colours}, {facts.classes} classes: {parts}{from_rest}"


def ask_base(
    ask: Ask, data: Mapping[str, Any], facts: SourceFacts, extra: Mapping[str, str], *, allow_code: bool
) -> dict[str, Any]:
    """The section base."""
    told = f"the network to beat: {', '.join(ZOO)}, torchvision:NAME, a .json file, or module:package.file:make_model"
    likely = "lenet" if facts.side < 48 else "mobilenet_v3_small"
    text = ask("base", "base", _some, likely if ask.can_ask else None, told)
    keys = {**_base_keys(text), **extra}

    def read(answer: str) -> dict[str, Any]:
        base = {**keys, "resolution": answer}
        spec = parse({**UNTOLD, "data": data, "base": base})
        make_problem(spec, allow_code=allow_code)
        width = {} if spec.base.width is None else {"width": spec.base.width}
        return {**keys, **width, "resolution": spec.base.resolution}

    default = min(facts.side, _own_resolution(text))
    told = f"the resolution at which it is trained: at most {facts.side} px; below it there is room for compensation"
    return ask("resolution", "resolution", read, str(default), told)


def _base_keys(text: str) -> dict[str, Any]:
    """What a spec says of a network that `nas cost` takes."""
    if text.startswith(MODULE):
        return {"module": text.removeprefix(MODULE)}
    name = text.partition(":")[0].strip()
    if name != "lenet":
        return {"network": text}
    function, settings = parse_network(text, ZOO)
    values = {key: parameter.default for key, parameter in signature(function).parameters.items()} | settings
    convs = {f"conv{i}": {"channels": values[f"channels{i}"], "kernel": values[f"kernel{i}"]} for i in (1, 2)}
    return {"network": name, **convs, "hidden": values["hidden"], "pool": values["pool"]}


def _own_resolution(text: str) -> int:
    """The resolution that a network has by itself, where that is known without torch."""
    if text.startswith((MODULE, TORCHVISION)):
        return LARGEST_DEFAULT
    return load_network(text).architecture.resolution


def ask_search(ask: Ask, problem: Problem, chosen: Mapping[str, Any], *, allow_code: bool) -> dict[str, Any]:
    """The sections of budget and methods, which plan a network beside the base, or more."""
    own = problem.base.cost.bounded()
    some_given = any(ask.has(option) for option in BOUNDS)
    budget: dict[str, str | int] = {}
    if not some_given:
        ask.tell("the budget: for each a number (0.58M, 300K), a share of the base's cost (50%), or none")
    for option, key in BOUNDS.items():
        default = "none" if some_given or option == "activation" else "100%"
        bound = ask(option, f"{WORDS[key]} (base: {own[key]:,})", _bound, default)
        if bound is not None:
            budget[key] = bound
    resolution = problem.base.architecture.resolution

    def planned(names: Sequence[str]) -> dict[str, Any]:
        methods = {"methods": [method_keys(name, resolution) for name in names], **method_sections(names)}
        make_checked(parse({**UNTOLD, **chosen, "budget": budget, **methods}), allow_code=allow_code)
        return {"budget": budget, **methods}

    make_problem(parse({**UNTOLD, **chosen, "budget": budget}), allow_code=allow_code)  # is the budget one?
    default, why = "", None
    for names in sensible_methods(resolution, problem.source.side):
        try:
            planned(names)
            default = ", ".join(names)
            break
        except NasError as error:
            why = why or error
    if not default and not ask.has("method") and not ask.can_ask:
        assert why is not None, "every list of methods was refused"
        raise why

    def read(answer: str) -> dict[str, Any]:
        return planned([name.strip() for name in _some(answer).split(",")])

    told = "\n".join(f"    {name:<13} {phrase}" for name, phrase in PHRASES.items())
    told = f"methods, where candidates come from, one or several:\n{told}"
    return ask("method", "methods", read, default or None, told)


def _bound(text: str) -> str | int | None:
    """A bound as the spec takes it; raises SpecError for what is none."""
    if text.lower() in ("", "none", "-"):
        return None
    try:
        if text.endswith("%"):
            return f"{float(parse_number(text[:-1].strip()) / 100)!r}x"
        number = parse_number(text.removesuffix("x"))
    except (ValueError, OverflowError) as error:
        raise SpecError(f"a bound must be a number as 0.58M or 300K, or a share as 50%, but is {text!r}") from error
    return int(number) if text.isdecimal() else text


def make_checked(spec: Spec, *, allow_code: bool) -> Plan:
    """The plan of a spec; raises NasError where there is nothing beside the base."""
    plan = make_plan(spec, allow_code=allow_code)
    if len(plan.networks) < 2 and not plan.prunings and not plan.dynamics:
        names = ", ".join(method.name for method in spec.methods)
        raise SpecError(
            f"methods must find a network beside the base, but {names or 'none'} finds none at this budget; lower it, "
            "or choose another method"
        )
    return plan


def ask_training(ask: Ask, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The section train."""

    def check(train: dict[str, Any]) -> dict[str, Any]:
        parse({**UNTOLD, **chosen, "train": train})
        return train

    told = f"how networks are trained: {', '.join(PRESETS)} (docs/training.md)"
    preset = ask("preset", "preset", lambda text: check({"preset": text}), "fast", told)
    default = str(PRESETS[preset["preset"]]["epochs"])
    epochs = ask("epochs", "epochs of each training", lambda text: check({**preset, "epochs": text}), default)
    seeds = ask("seeds", "seeds, trainings of every network", lambda text: check({**epochs, "seeds": text}), "3")
    train = parse({**UNTOLD, **chosen, "train": seeds}).train
    # a quick look needs no more fresh seeds than others
    return {
        "preset": train.preset,
        "epochs": train.epochs,
        "batch_size": train.batch_size,
        "augmentation": train.augmentation,
        "seeds": train.seeds,
        "confirm": min(train.seeds, type(train).model_fields["confirm"].default),
    }
