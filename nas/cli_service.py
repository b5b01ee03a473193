"""Commands of the queue: submit, worker, status, list, stop, resume, delete, logs."""

import json
import os
import signal
from typing import Annotated

import typer
from rich.console import Console

from nas import options
from nas.spec import DEFAULT_STORAGE, parse_spec, read_spec
from search_spaces import NasError

NewName = Annotated[str | None, typer.Option("--name", help="In place of the spec's.")]
Priority = Annotated[
    int | None,
    typer.Option(min=-1000, max=1000, help="The highest comes first, of equals the oldest; by default 0."),
]
MayCode = Annotated[bool, typer.Option("--allow-code", help="Also take searches that were submitted with it.")]


def submit(
    spec: options.SpecPath,
    name: NewName = None,
    priority: Priority = None,
    allow_code: options.AllowCode = False,
) -> None:
    """Check a search, put it in the queue of the spec's storage, and return; a worker runs it."""
    from nas.submit import submit as put

    checked = read_spec(spec)
    if name is not None:
        own = {"storage": checked.storage, "name": name}  # what is dumped of the URL has no password
        checked = parse_spec({**checked.model_dump(mode="json"), **own}, origin="--name")
    submitted = put(checked, folder=os.getcwd(), allow_code=allow_code, priority=priority)
    entry, where = submitted.entry, options.storage_flag(checked.storage)
    there = f"{entry.name} is there already, and {entry.state}, with priority {entry.priority}"
    if submitted.new:
        typer.echo(f"submitted {entry.name}; a worker runs it: nas worker{where}")
        typer.echo(f"next: nas status {entry.name}{where}")
    elif entry.state in ("stopped", "failed"):
        typer.echo(f"{there}; go on with: nas resume {entry.name}{where}")
    else:
        typer.echo(f"{there}; see nas status {entry.name}{where}")


def worker(
    once: Annotated[bool, typer.Option("--once", help="End when no search waits any more.")] = False,
    poll: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds between two looks at the queue.")] = 2.0,
    allow_code: MayCode = False,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Run searches of the queue, one after the other. Start as many as you like, wherever the database is reached."""
    from nas.worker import Worker, absolute_storage
    from trials.leases import this_process
    from trials.queue import Queue

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also in the background of a shell, which ignores it
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    try:
        with Queue(storage, create=True) as queue:
            say(f"worker, {this_process()}: takes searches of {queue.shown} (Ctrl-C ends it)")
            Worker(queue, absolute_storage(storage), say, poll=poll, allow_code=allow_code).run(once=once)
    except KeyboardInterrupt:
        say("stopped")
        raise typer.Exit(130) from None


def status(
    name: Annotated[str | None, typer.Argument(help="Name of a search; all by default.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again.")] = False,
    as_json: options.AsJson = False,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Show what each search is doing, why it last failed, and what will happen next."""
    from nas.status import print_status, read_status, read_statuses, watch_status
    from trials.leases import Watch
    from trials.queue import Queue

    if watch and as_json:
        raise NasError("only one of --watch and --json may be asked for, but both are; leave one out")
    with Queue(storage) as queue:
        if watch:
            try:
                watch_status(Console(), storage, queue, name)
            except KeyboardInterrupt:
                raise typer.Exit(130) from None
            return
        found = [read_status(storage, queue, name, Watch())] if name is not None else read_statuses(queue, Watch())
    if as_json:
        listing = [one.to_json() for one in found]
        typer.echo(json.dumps(listing if name is None else listing[0], indent=2))
        return
    for one in found:
        print_status(Console(), one)
    if not found:
        typer.echo("no search is there; nas submit SPEC")


def list_searches(as_json: options.AsJson = False, storage: options.Storage = DEFAULT_STORAGE) -> None:
    """List all searches of a database: the first in line first."""
    from nas.status import print_list, read_statuses
    from trials.leases import Watch
    from trials.queue import Queue

    with Queue(storage) as queue:
        found = read_statuses(queue, Watch())
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in found], indent=2))
    else:
        print_list(Console(), found)


def stop(name: options.Name, storage: options.Storage = DEFAULT_STORAGE) -> None:
    """End a search; what is done is kept. Waits until it has ended."""
    from nas.control import stop as end
    from trials.queue import Queue

    with Queue(storage, create=True) as queue:
        try:
            state = end(queue, name, typer.echo)
        except KeyboardInterrupt:
            typer.echo(f"{name} ends as soon as its driver hears of it")
            raise typer.Exit(130) from None
    again = f"; go on with: nas resume {name}{options.storage_flag(storage)}" if state == "stopped" else ""
    typer.echo(f"{name} is {state}{again}")


def resume(name: options.Name, storage: options.Storage = DEFAULT_STORAGE) -> None:
    """Put a stopped or failed search back in the queue: it goes on from where it stood."""
    from nas.control import resume as put_back
    from trials.queue import Queue

    with Queue(storage, create=True) as queue:
        put_back(queue, name)
    typer.echo(f"{name} is queued; a worker runs it: nas worker{options.storage_flag(storage)}")


def delete(
    name: options.Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Remove a search with its trials, and results and weights that no other search uses."""
    from nas.control import check_deletable, find_entry
    from nas.control import delete as remove
    from trials.queue import Queue

    with Queue(storage) as queue:
        check_deletable(find_entry(queue, name))
    if not yes:
        typer.confirm(f"remove {name}, its trials, and the weights that no other search uses?", abort=True)
    with Queue(storage, create=True) as queue:
        files = remove(storage, queue, name)
    typer.echo(f"removed {name}, and {files} files of weights")


def logs(
    name: options.Name,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more, until the search has ended.")] = False,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Show what the drivers of a search said, wherever they ran: progress, failures, tracebacks."""
    from nas.control import follow as read
    from trials.queue import Queue

    with Queue(storage) as queue:
        try:
            for line in read(queue, name, forever=follow):
                typer.echo(line)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
