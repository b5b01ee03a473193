"""Arguments and options of the command line."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from nas.spec import DEFAULT_STORAGE, STORAGE_VARIABLE
from trials.urls import drop_passwords


def storage_flag(storage: str) -> str:
    """What the next command must be told to find the same database."""
    default = os.environ.get(STORAGE_VARIABLE, DEFAULT_STORAGE)
    return "" if storage == default else f" --storage {shlex.quote(drop_passwords(storage))}"


SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="YAML file; docs/spec.md explains every key.")]
Name = Annotated[str, typer.Argument(help="Name of a search.")]
AllowCode = Annotated[bool, typer.Option("--allow-code", help="Run the code that a module: or base.module names.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Storage = Annotated[str, typer.Option(envvar="NAS_STORAGE", help="Database URL.")]

# of solve
Approaches = Annotated[
    list[str] | None, typer.Option(help="I, II, III or IV, several by repeating it; by default the spec's.")
]
Keep = Annotated[
    str | None,
    typer.Option(
        help="What costs as much as in the base: params, macs, flops, activation, or several joined by commas; "
        "by default the spec's, or what its budget bounds."
    ),
]
Tolerance = Annotated[
    float | None, typer.Option(help="How far below it may lie, as a share; by default the spec's, or 0.")
]
TwoSided = Annotated[bool, typer.Option("--two-sided", help="As far above, too.")]
Scope = Annotated[
    str | None,
    typer.Option(help="Costs of the edited layers (layer, as the paper) or of the whole network; by default layer."),
]

# of cost and scale
Network = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        help="resnet18 or another of the zoo, torchvision:resnet50, winner.json, module:package.file:make_model.",
    ),
]
Resolution = Annotated[int | None, typer.Option(help="Side of the images in pixels.")]
Classes = Annotated[int | None, typer.Option(help="Number of classes.")]
Channels = Annotated[int | None, typer.Option(help="Channels of the images.")]

# of cost
Conventions = Annotated[
    list[str] | None,
    typer.Option(
        help="Also the total as fvcore, ptflops, thop, torchinfo or torch counts the module we build; or all."
    ),
]
BatchSize = Annotated[
    int | None, typer.Option(help="Images in a batch whose latency is measured; by default once 1, once 100.")
]

# of scale
Fit = Annotated[
    Path, typer.Option(metavar="FILE", help="JSON with alpha and beta, a number each for every width group.")
]
Bound = Annotated[
    str | None, typer.Option(metavar="N", help="At most so many: 580000, 0.58M, 300K, or 0.5x the base's.")
]
Multiple = Annotated[int, typer.Option(metavar="N", help="Widths are multiples of it, as 8.")]
Floor = Annotated[int, typer.Option(metavar="N", help="No width is below it.")]
