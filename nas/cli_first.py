"""Commands for the first use: init, doctor; `nas.cli` gives them their names."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nas import options
from nas.spec import CHECKPOINTS_VARIABLE, DEFAULT_STORAGE, STORAGE_VARIABLE, read_spec
from search_spaces import NasError

SCHEMA = "spec.schema.json"
File = Annotated[Path, typer.Argument(metavar="[FILE]", help="Where to write it; - is standard output.")]
Source = Annotated[
    str | None, typer.Option(metavar="SOURCE", help="mnist5k, torchvision:CIFAR10, a folder, an archive or .npz.")
]
Root = Annotated[str | None, typer.Option(metavar="FOLDER", help="Of torchvision's datasets.")]
Side = Annotated[str | None, typer.Option(metavar="PX", help="To which images of several sizes are brought.")]
Base = Annotated[str | None, typer.Option(metavar="NETWORK", help="To beat: what nas cost takes, as resnet18.")]
Width = Annotated[str | None, typer.Option(metavar="FACTOR", help="What all widths of it are multiplied by.")]
Resolution = Annotated[str | None, typer.Option(metavar="PX", help="At which it is trained.")]
Bound = Annotated[str | None, typer.Option(metavar="N", help="At most so many: 0.58M, 300K, 50% of the base's, none.")]
Methods = Annotated[
    list[str] | None, typer.Option("--method", metavar="NAME", help="Where candidates come from; may be repeated.")
]
Preset = Annotated[str | None, typer.Option(help="How networks are trained: fast, borji and others.")]
Number = Annotated[str | None, typer.Option(metavar="N", help="By default the preset's, and 3 seeds.")]
SearchName = Annotated[str | None, typer.Option(help="Of the search; by default made of data and base.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]


def init(  # noqa: PLR0913, PLR0917
    file: File = Path("search.yaml"),
    data: Source = None,
    root: Root = None,
    side: Side = None,
    base: Base = None,
    width: Width = None,
    resolution: Resolution = None,
    params: Bound = None,
    macs: Bound = None,
    activation: Bound = None,
    method: Methods = None,
    preset: Preset = None,
    epochs: Number = None,
    seeds: Number = None,
    name: SearchName = None,
    force: Force = False,
    allow_code: options.AllowCode = False,
) -> None:
    """Write a first spec. In a terminal it asks for what is not given; data, base and a bound are enough."""
    from nas.ask import Ask
    from nas.file_names import check_writable
    from nas.first_spec import make_first_spec
    from trials.files import write_atomically

    on_stdout = str(file) == "-"
    if not on_stdout:
        check_writable(file, suffixes=(".yaml", ".yml"), force=force)
    values = {"data": data, "root": root, "side": side, "base": base, "resolution": resolution, "preset": preset}
    values |= {"params": params, "macs": macs, "activation": activation, "epochs": epochs, "seeds": seeds, "name": name}
    given = {key: value for key, value in values.items() if value is not None}
    given |= {"method": ", ".join(method)} if method else {}
    enough = {"data", "base"} <= given.keys() and given.keys() & {"params", "macs", "activation"}
    terminal = Console(stderr=True) if sys.stdin.isatty() and sys.stderr.isatty() and not enough else None
    schema = SCHEMA if not on_stdout and (file.parent / SCHEMA).is_file() else ""
    try:
        made = make_first_spec(Ask(given, terminal), width=width, schema=schema, allow_code=allow_code)
    except (KeyboardInterrupt, EOFError):
        typer.echo("\nstopped; nothing is written", err=True)
        raise typer.Exit(130) from None
    if on_stdout:
        typer.echo(made.text, nl=False)
        return
    check_writable(file, suffixes=(".yaml", ".yml"), force=force)  # somebody may have made it meanwhile
    write_atomically({file: made.text.encode()})
    flag = " --allow-code" if made.plan.problem.spec.base.module else ""
    typer.echo(f"wrote {file}")
    for lead, command in (("next:", "nas plan"), ("     ", "nas search")):
        typer.echo(f"{lead} {command} {shlex.quote(str(file))}{flag}")


def doctor(
    spec: Annotated[Path | None, typer.Argument(metavar="[SPEC]", help="A search that shall run here.")] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Database; by default the spec's, NAS_STORAGE, or nas.db.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=1, max=3600, metavar="SECONDS", help="For each check; all run at once.")
    ] = 60,
    allow_code: options.AllowCode = False,
    as_json: options.AsJson = False,
) -> None:
    """Check what a search needs: packages, torch, GPUs, Ray, database, disks, images. Changes nothing."""
    from nas.doctor import Order, examine, print_finding, print_summary, worst
    from nas.findings import Finding, refused

    findings: list[Finding] = []
    checked = None
    console = Console(quiet=as_json)
    try:
        checked = read_spec(spec) if spec is not None else None
    except NasError as error:  # the rest is examined all the same
        findings.append(refused("spec", error))
        print_finding(console, findings[-1])
    given = storage or (checked.storage if checked else os.environ.get(STORAGE_VARIABLE)) or DEFAULT_STORAGE
    folder = checked.checkpoints if checked else os.environ.get(CHECKPOINTS_VARIABLE)
    for finding in examine(Order(storage=given, checkpoints=folder, spec=checked, allow_code=allow_code), wait):
        findings.append(finding)
        print_finding(console, finding)
    if as_json:
        typer.echo(json.dumps({"state": worst(findings), "findings": [one.to_json() for one in findings]}, indent=2))
    print_summary(console, findings)
    if worst(findings) == "problem":
        raise typer.Exit(2)
