"""The command line. Commands import what they run when they run, so that help and completion are quick."""

import json
import os
import shlex
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nas import cli_export, cli_networks, options
from nas.once import latency_of, measure_step
from nas.spec import DEFAULT_STORAGE, read_spec
from search_spaces import NasError

app = typer.Typer(
    name="nas",
    help="How wide should each layer of a small network be, and at what resolution should it look?",
    epilog="Example: nas search examples/quickstart.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("nas-service"))
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


@app.command(epilog="Example: nas plan examples/quickstart.yaml")
def plan(spec: options.SpecPath, allow_code: options.AllowCode = False, as_json: options.AsJson = False) -> None:
    """Show what a search would train, without training."""
    from nas.estimate import estimate_pruning, estimate_seconds
    from nas.plan import make_plan
    from nas.plan_table import print_plan
    from nas.tables import duration
    from trials.step_times import StepTimes

    checked = read_spec(spec)
    made = make_plan(checked, allow_code=allow_code, latency_of=latency_of(checked))
    if as_json:
        seconds = estimate_seconds(made, StepTimes(), measure_step)
        listing = made.to_json() | {"estimated_seconds": seconds}
        if made.prunings:
            listing["pruning_seconds"] = estimate_pruning(made, StepTimes(), measure_step)
        typer.echo(json.dumps(listing, indent=2))
        return
    console = Console()
    print_plan(console, made)
    seconds = estimate_seconds(made, StepTimes(), measure_step)
    workers = made.problem.spec.search.workers
    console.print(f"about {duration(seconds)} on {workers} workers of one core each, from a measured training step")
    if made.prunings:
        pruning = duration(estimate_pruning(made, StepTimes(), measure_step))
        console.print(f"and at most about {pruning} of pruning, if later networks take as long a step as the base")


@app.command(epilog="Example: nas solve examples/quickstart.yaml --approach IV --keep params --tolerance 0.01")
def solve(  # noqa: PLR0913, PLR0917
    spec: options.SpecPath,
    approach: options.Approaches = None,
    keep: options.Keep = None,
    tolerance: options.Tolerance = None,
    two_sided: options.TwoSided = False,
    scope: options.Scope = None,
    allow_code: options.AllowCode = False,
    as_json: options.AsJson = False,
) -> None:
    """List every network that costs as much as the base at a higher resolution, without training."""
    from nas.solve import list_solutions, print_solutions

    asked = {
        "approaches": approach,
        "keep": [name.strip() for name in keep.split(",")] if keep is not None else None,
        "tolerance": tolerance,
        "two_sided": two_sided or None,
        "scope": scope,
    }
    listing = list_solutions(read_spec(spec), asked, allow_code=allow_code)
    if as_json:
        typer.echo(json.dumps(listing.to_json(), indent=2))
    else:
        print_solutions(Console(), listing)


@app.command(epilog="Example: nas search examples/quickstart.yaml")
def search(
    spec: options.SpecPath,
    local: Annotated[bool, typer.Option("--local", help="Run in this process, without Ray.")] = False,
    allow_code: options.AllowCode = False,
) -> None:
    """Search: train base and candidates, keep every trial, print the front. Goes on where it was stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress = Console(stderr=True)
    flags = f"{' --local' if local else ''}{' --allow-code' if allow_code else ''}"
    again = f"nas search {shlex.quote(str(spec))}{flags}"
    try:
        from nas.plan import make_plan

        checked = read_spec(spec)
        # a spec that cannot be planned is told before torch and Ray take seconds to load
        made = make_plan(checked, allow_code=allow_code, latency_of=latency_of(checked))
        if local:
            from nas.run import run_search

            front, failed = run_search(made, local=True, progress=progress, allow_code=allow_code)
        else:
            from nas.start import early_workers

            with early_workers(checked) as workers:
                from nas.run import run_search

                front, failed = run_search(made, local=False, progress=progress, allow_code=allow_code, workers=workers)
        from nas.show import print_front
    except KeyboardInterrupt:
        progress.print(f"stopped; what is done is kept. Go on with: {again}", markup=False, soft_wrap=True)
        raise typer.Exit(130) from None
    console = Console()
    print_front(console, front)
    if failed:
        console.print(f"{failed} jobs failed; try them again with: {again}", markup=False, soft_wrap=True)
        raise typer.Exit(1)
    default = os.environ.get("NAS_STORAGE", DEFAULT_STORAGE)
    where = "" if checked.storage == default else f" --storage {shlex.quote(checked.storage)}"
    export = [] if front.study else [f"nas export {front.name} -o winner.json{where}"]
    for lead, following in zip(("next:", "     "), (*export, f"nas dashboard{where}"), strict=False):
        console.print(f"{lead} {following}", markup=False, highlight=False)


@app.command(epilog="Example: nas front digits-14px")
def front(name: options.Name, as_json: options.AsJson = False, storage: options.Storage = DEFAULT_STORAGE) -> None:
    """Show the front of a search, the base beside it, and the winner."""
    from dashboards import make_study_rows, read_front
    from nas.show import print_front
    from trials.store import Store

    with Store(storage) as store:
        found = read_front(store, name)
    if as_json:
        study = {"study": [row.to_json() for row in make_study_rows(found.study)]} if found.study else {}
        typer.echo(json.dumps(found.to_json() | study, indent=2))
    else:
        print_front(Console(), found)


@app.command(epilog="Example: nas verify winner.json")
def verify(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="An exported network.")],
    score: Annotated[bool, typer.Option("--score", help="Score the test split again, too.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Rebuild an exported network, count its costs again, check its weights."""
    from nas.verify import print_verified, verify_export

    verified = verify_export(path, score=score)
    if as_json:
        typer.echo(json.dumps(verified, indent=2))
    else:
        print_verified(Console(), verified)


@app.command(epilog="Example: nas dashboard --port 8080")
def dashboard(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8080,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Browse all searches in optuna-dashboard, on this machine alone."""
    from dashboards.serve import HOST, make_dashboard
    from trials.store import Store

    with Store(storage) as store, make_dashboard(store, port) as server:
        typer.echo(f"http://{HOST}:{server.server_port}/ (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("stopped")


app.command(epilog="Example: nas export digits-14px -o winner.json")(cli_export.export)
app.command(epilog="Example: nas train winner.json --epochs 300 -o full.json")(cli_export.train)
app.command(epilog="Example: nas evaluate winner.json --split validation")(cli_export.evaluate)
app.command(epilog="Example: nas diff winner.json full.json")(cli_export.diff)
app.command(epilog="Example: nas schema > spec.schema.json")(cli_export.schema)
app.command(epilog="Example: nas cost resnet18 --resolution 96 --classes 10")(cli_networks.cost)
app.command(epilog="Example: nas scale vgg11 --fit examples/vgg11-fit.json --params 0.58M")(cli_networks.scale)
app.command(epilog="Example: nas descent neuralscale-vgg11 --draw widths.html")(cli_networks.descent)
app.command(epilog="Example: nas dynamic msnet-tiny --draw dynamic.html")(cli_networks.dynamic)
app.command(epilog="Example: nas grid isometric-tiny --draw grid.html")(cli_networks.grid)


def main() -> None:
    """Entry point: an error that the user can mend is one line and exit status 2."""
    try:
        app()
    except NasError as error:
        line = " ".join(str(error).split())
        printable = "".join(character if character.isprintable() else "?" for character in line)
        typer.echo(f"error: {printable}", err=True)
        sys.exit(2)
