"""The command line. Commands import what they run when they run, so that help and completion are quick."""

import json
import os
import shlex
import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

import nas
from nas import cli_export, cli_first, cli_networks, cli_report, cli_service, cli_storage, options
from nas.once import latency_of, measure_step
from nas.spec import DEFAULT_STORAGE, read_spec
from search_spaces import NasError, one_line

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


app.command(epilog="Example: nas init search.yaml --data mnist5k --base resnet18 --params 50%")(cli_first.init)
app.command(epilog="Example: nas doctor search.yaml")(cli_first.doctor)


@app.command(epilog="Example: nas plan examples/quickstart.yaml")
def plan(spec: options.SpecPath, allow_code: options.AllowCode = False, as_json: options.AsJson = False) -> None:
    """Show what a search would train, without training."""
    from nas.estimate import with_estimate
    from nas.plan_table import print_plan
    from nas.tables import duration
    from trials.step_times import StepTimes

    made = nas.plan(spec, allow_code=allow_code, estimate=False)
    console = Console()
    if not as_json:
        print_plan(console, made)  # before a step is timed, which may take seconds
    timed = with_estimate(made, StepTimes(), measure_step)
    if as_json:
        typer.echo(json.dumps(timed.to_json(), indent=2))
        return
    workers = made.problem.spec.ray.at_once
    seconds = duration(timed.estimated_seconds or 0.0)
    console.print(f"about {seconds} on {workers} workers of one core each, from a measured training step")
    if timed.pruning_seconds is not None:
        pruning = duration(timed.pruning_seconds)
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
        from nas.planning import make_plan

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
        jobs = "1 job failed; try it" if failed == 1 else f"{failed} jobs failed; try them"
        console.print(f"{jobs} again with: {again}", markup=False, soft_wrap=True)
        raise typer.Exit(1)
    where = options.storage_flag(checked.storage)
    export = [] if front.study else [f"nas export {front.name} -o winner.json{where}"]
    for lead, following in zip(("next:", "     "), (*export, f"nas dashboard{where}"), strict=False):
        console.print(f"{lead} {following}", markup=False, highlight=False)


@app.command(epilog="Example: nas front digits-14px --plot")
def front(
    name: options.Name,
    plot: Annotated[bool, typer.Option("--plot", help="Draw accuracy against the first cost, too.")] = False,
    as_json: options.AsJson = False,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Show the front of a search, the base beside it, the winner, and which networks to look at first."""
    from nas.show import print_front
    from nas.show_picks import plot_front, print_picks

    found = nas.front(name, storage)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
        return
    console = Console()
    print_front(console, found)
    print_picks(console, found.picks)
    if plot:
        typer.echo(plot_front(found))


@app.command(epilog="Example: nas verify winner.json")
def verify(
    path: Annotated[str, typer.Argument(metavar="FILE", help="An exported network, or its URL.")],
    score: Annotated[bool, typer.Option("--score", help="Score the test split again, too.")] = False,
    data: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Where the images are now, as data.source of a spec.")
    ] = None,
    root: Annotated[str | None, typer.Option(metavar="FOLDER", help="Of torchvision's datasets.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Rebuild an exported network, count its costs again, check its weights."""
    from nas.verify import print_verified, verify_export
    from trials.folders import open_path

    if not score and (data is not None or root is not None):
        raise NasError("--data and --root are for --score, which is not asked for; add it or leave them out")
    verified = verify_export(open_path(path), score=score, data=data, root=root)
    if as_json:
        typer.echo(json.dumps(verified, indent=2))
    else:
        print_verified(Console(), verified)


@app.command(epilog="Example: nas dashboard --port 8080")
def dashboard(
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default this machine's browsers alone reach it.")
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A name under which a proxy in front of it is opened.")
    ] = None,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Browse all searches in optuna-dashboard, with the token of the printed address."""
    from dashboards.door import choose_token
    from dashboards.serve import exposed, make_dashboard
    from trials.store import Store

    token, fresh = choose_token(dict(os.environ))
    with Store(storage) as store:
        server, door = make_dashboard(store, port, token=token, host=host, names=tuple(allow_host or ()))
        with server:
            shown = token if fresh else "..., the token that you gave"
            try:
                typer.echo(f"{door.address}?token={shown} (Ctrl-C ends it)")
                if warning := exposed(door):
                    typer.echo(warning)
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
app.command(epilog="Example: nas move sqlite:///nas.db postgresql://me@host/nas --checkpoints s3://bucket/nas")(
    cli_storage.move
)
app.command(epilog="Example: nas upgrade --storage sqlite:///nas.db")(cli_storage.upgrade)


app.command(epilog="Example: nas submit examples/quickstart.yaml --priority 5")(cli_service.submit)
app.command(epilog="Example: nas worker --storage sqlite:///nas.db")(cli_service.worker)
app.command(epilog="Example: nas status digits-14px --watch")(cli_service.status)
app.command(epilog="Example: nas list", name="list")(cli_service.list_searches)
app.command(epilog="Example: nas stop digits-14px")(cli_service.stop)
app.command(epilog="Example: nas resume digits-14px")(cli_service.resume)
app.command(epilog="Example: nas delete digits-14px")(cli_service.delete)
app.command(epilog="Example: nas logs digits-14px --follow")(cli_service.logs)
app.command(epilog="Example: nas compare search-a search-b")(cli_report.compare)
app.command(epilog="Example: nas report digits-14px -o report.html")(cli_report.report)


def main() -> None:
    """Entry point: an error that the user can mend is one line and its exit status, 2 unless it says otherwise."""
    try:
        app()
    except NasError as error:
        typer.echo(f"error: {one_line(error)}", err=True)
        sys.exit(error.exit_status)
