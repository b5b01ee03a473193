"""How wide should each layer be, and at what resolution should it look? The Python API.

Each function gives what the command of its name prints; `.to_json()` of it is the command's `--json`. Errors that a
person can mend are `nas.NasError`, in one line. docs/python.md has an example of each.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from dashboards import Front
    from nas.cost_report import CostReport
    from nas.export import LoadedNetwork
    from nas.planning import Plan
    from nas.spec import Spec
    from search_spaces import NasError

    SpecLike: TypeAlias = str | PathLike[str] | Mapping[str, Any] | Spec

__all__ = ["NasError", "Spec", "cost", "front", "load", "plan", "search"]

# What these need takes up to seconds to import, and `nas --help` needs none of it.


def search(spec: SpecLike, *, local: bool = False, allow_code: bool = False, progress: bool = True) -> Front:
    """Train base and candidates of a spec (a YAML file's path, plain data, or a `Spec`), keep every trial; the front.

    Goes on where it was stopped, also after KeyboardInterrupt. Runs on Ray's workers, or with `local` in this process;
    `allow_code` lets code of your own make the base; `progress` is shown on standard error. Trainings that failed are
    in `failed` of what is returned, whose `complete` is then False. Raises NasError.
    """
    from rich.console import Console

    from nas.once import latency_of
    from nas.planning import make_plan

    checked = _checked(spec)
    made = make_plan(checked, allow_code=allow_code, latency_of=latency_of(checked))
    console = Console(stderr=True, quiet=not progress)
    if local:
        from nas.run import run_search

        return run_search(made, local=True, progress=console, allow_code=allow_code)[0]
    from nas.start import early_workers

    with early_workers(checked) as workers:
        from nas.run import run_search

        return run_search(made, local=False, progress=console, allow_code=allow_code, workers=workers)[0]


def plan(spec: SpecLike, *, allow_code: bool = False, estimate: bool = True) -> Plan:
    """What a search of this spec would train, without training.

    With `estimate` a training step is timed, once a machine and network, and the plan says `estimated_seconds`. Raises
    NasError for a spec that cannot be searched.
    """
    from nas.estimate import with_estimate
    from nas.once import latency_of, measure_step
    from nas.planning import make_plan
    from trials.step_times import StepTimes

    checked = _checked(spec)
    made = make_plan(checked, allow_code=allow_code, latency_of=latency_of(checked))
    return with_estimate(made, StepTimes(), measure_step) if estimate else made


def front(name: str, storage: str | None = None) -> Front:
    """The front of a search as far as it has come, the base beside it, and the winner.

    `storage` is the database's URL; by default NAS_STORAGE, or sqlite:///nas.db. Raises NasError for an unknown name.
    """
    from dashboards import read_front
    from nas.spec import DEFAULT_STORAGE
    from trials.store import Store

    with Store(storage or os.environ.get("NAS_STORAGE") or DEFAULT_STORAGE) as store:
        return read_front(store, name)


def cost(  # noqa: PLR0913
    network: str | PathLike[str],
    *,
    width: float | None = None,
    widths: str | Sequence[int] | None = None,
    resolution: int | None = None,
    classes: int | None = None,
    channels: int | None = None,
    conventions: Sequence[str] = (),
    latency: bool = False,
    batch_size: int | None = None,
    device: str = "cpu",
    allow_code: bool = False,
) -> CostReport:
    """Count what a network costs, exactly: resnet18, torchvision:resnet50, winner.json, module:package.file:make_model.

    `width` multiplies all widths, `widths` names one a group. `conventions` are other counters (fvcore, ptflops, thop,
    torchinfo, torch, or all). With `latency` a forward pass of `batch_size` images is measured on `device`. Raises
    NasError for a network that cannot be.
    """
    from nas.cost_report import make_report

    return make_report(
        os.fspath(network),
        width=width,
        widths=widths if widths is None or isinstance(widths, str) else ",".join(map(str, widths)),
        conventions=tuple(conventions),
        resolution=resolution,
        classes=classes,
        channels=channels,
        allow_code=allow_code,
        timed=(batch_size, device) if latency else None,
    )


def load(path: str | PathLike[str]) -> LoadedNetwork:
    """The trained torch module of an exported file or URL: uint8 images [N, C, H, W] to scores [N, classes].

    Raises NasError for a file that is no sound export. Runs no code of the file.
    """
    from nas.export import load_export
    from trials.folders import open_path

    return load_export(open_path(os.fspath(path)))


def _checked(spec: SpecLike) -> Spec:
    from nas.spec import Spec, parse_spec, read_spec

    if isinstance(spec, Spec):
        return spec
    return parse_spec(dict(spec), origin="the spec") if isinstance(spec, Mapping) else read_spec(Path(spec))


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The two classes, whose modules are loaded when they are named."""
        if name == "Spec":
            from nas.spec import Spec

            return Spec
        if name == "NasError":
            from search_spaces import NasError

            return NasError
        raise AttributeError(f"module 'nas' has no attribute {name!r}")
