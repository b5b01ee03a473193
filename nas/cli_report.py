"""Commands that report and compare searches; `nas.cli` gives them their names."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nas import options
from nas.spec import DEFAULT_STORAGE


def report(
    name: options.Name,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A .html, .md or .json file; without it, on standard output.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="html, md or json; by default as the file's name says, or md.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Write all of a search into one file: figures, networks, the winner's layers, how to repeat it."""
    from nas.show_report import choose_format, make_report_text, write_report

    chosen = choose_format(output, form)
    text = make_report_text(name, storage, chosen)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_report(text, output, force=force)
        typer.echo(f"wrote {output}")


def compare(
    names: Annotated[list[str], typer.Argument(metavar="A [B]", help="Two searches, or one with --methods.")],
    methods: Annotated[
        tuple[str, str] | None, typer.Option(metavar="A B", help="Two methods of one search, as uniform neuralscale.")
    ] = None,
    as_json: options.AsJson = False,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Compare two searches, or two methods, at equal budget: fronts, differences with confidence intervals."""
    from nas.show_compare import compare_named, print_comparison

    found = compare_named(names, methods, storage)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        print_comparison(Console(), found)
