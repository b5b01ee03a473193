"""Commands on a whole database."""

from typing import Annotated

import typer

from nas import options
from nas.spec import DEFAULT_STORAGE


def move(
    source: Annotated[str, typer.Argument(metavar="FROM", help="URL of a database, which stays as it is.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="URL of an empty one.")],
    checkpoints: Annotated[
        str | None, typer.Option(help="Folder or URL to which the weights are copied; by default they stay.")
    ] = None,
) -> None:
    """Take everything along to another database: searches, trials, notes, artifacts."""
    from nas.control import check_idle
    from trials.move import check_places, move
    from trials.store import Store
    from trials.urls import hide_passwords

    check_places(source, target)
    with Store(source) as store:
        check_idle(source)
        move(store, target, checkpoints, typer.echo)
    typer.echo(f"next: nas front NAME --storage {hide_passwords(target)}")


def upgrade(storage: options.Storage = DEFAULT_STORAGE) -> None:
    """Bring a database to the version of the installed program, so that it can be read."""
    from trials.migrate import check_exists
    from trials.store import Store

    check_exists(storage)
    with Store(storage, create=True) as store:
        typer.echo(f"{store.shown} is of the newest version")
