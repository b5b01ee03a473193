"""Examines what a search needs. Each check is a process of its own: one that fails or hangs stops no other."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nas.findings import Finding, State, problem
from nas.ray_spec import joins_cluster
from nas.spec import Spec

# the names of the checks, in the order in which they are shown, and what to do where one does not end
CHECKS = {
    "machine": "see whether a disk or a network folder hangs (df)",
    "torch": "try: python -c 'import torch'",
    "ray": "see that the cluster answers (ray status), or leave ray.address and NAS_RAY_ADDRESS out",
    "database": "see that its server or disk answers",
    "checkpoints": "see that the folder or the object store answers",
    "spec": "large images are decoded once, by nas plan SPEC; or give it longer with --wait",
}
_COLOURS: dict[State, str] = {"ok": "green", "warning": "yellow", "problem": "red"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is examined: a database, the folder of its weights where one is named, and a spec, if there is one."""

    storage: str
    checkpoints: str | None
    spec: Spec | None
    allow_code: bool

    def to_json(self, check: str) -> dict[str, Any]:
        """What `nas.examine` is told."""
        return {
            "check": check,
            "parent": os.getpid(),
            "storage": self.storage,
            "checkpoints": self.checkpoints,
            "spec": None if self.spec is None else self.spec.model_dump(mode="json"),
            "allow_code": self.allow_code,
        }


def examine(order: Order, seconds: float) -> Iterator[Finding]:
    """What all checks find, in the order of CHECKS; each may take so many seconds."""
    names = [name for name in CHECKS if name != "spec" or order.spec is not None]
    children: dict[str, subprocess.Popen[str]] = {}
    with ThreadPoolExecutor(len(CHECKS)) as waiting:
        try:
            for name in names:  # in this thread, with which they would die
                children[name] = _start(order.to_json(name))
            ended = {name: waiting.submit(_wait, child, seconds) for name, child in children.items()}
            for name, future in ended.items():
                yield from _findings(name, children[name], future.result(), _way_out(name, order), seconds)
        finally:
            for child in children.values():
                _end(child)


def _way_out(name: str, order: Order) -> str:
    if name == "ray" and not joins_cluster(order.spec.ray if order.spec else None):
        return "give it longer with --wait; nas search --local needs no Ray"
    return CHECKS[name]


def _start(order: dict[str, Any]) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "nas.examine"],  # -P: nothing is imported from the folder
        stdin=subprocess.PIPE,  # not arguments: anyone on the machine reads those
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C comes to this process, which ends all that it started
    )
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # it has ended already: that is told
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
    return child


def _wait(child: subprocess.Popen[str], seconds: float) -> tuple[str, bool]:
    """What it printed, and whether it had to be ended."""
    try:
        return child.communicate(timeout=seconds)[0], False
    except subprocess.TimeoutExpired:
        _end(child)
        return child.communicate()[0], True


def _findings(
    name: str, child: subprocess.Popen[str], ended: tuple[str, bool], way_out: str, seconds: float
) -> Iterator[Finding]:
    output, late = ended
    yield from _read(output)
    if late:
        yield problem(name, f"no answer, waited for {seconds:.0f} s", way_out)
    elif child.returncode < 0:
        yield problem(name, f"the check was killed by {signal.Signals(-child.returncode).name}", way_out)
    elif child.returncode:
        yield problem(name, f"the check ended with status {child.returncode}", way_out)


def _read(output: str) -> Iterator[Finding]:
    """The findings among what a process printed; libraries print, too."""
    for line in output.splitlines():
        with suppress(ValueError, TypeError):
            yield Finding.from_json(json.loads(line))


def _end(child: subprocess.Popen[str]) -> None:
    """With all that it started."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def worst(findings: Sequence[Finding]) -> State:
    """The state of the whole."""
    states = {finding.state for finding in findings}
    return "problem" if "problem" in states else "warning" if "warning" in states else "ok"


def print_finding(console: Console, finding: Finding) -> None:
    """A line, and the way out below it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(min_width=7)
    grid.add_column(min_width=11)
    grid.add_column(overflow="fold")
    grid.add_row(Text(finding.state, _COLOURS[finding.state]), finding.name, Text(finding.text))
    if finding.way_out:
        grid.add_row("", "", Text(f"way out: {finding.way_out}", "dim"))
    console.print(grid)


def print_summary(console: Console, findings: Sequence[Finding]) -> None:
    """The last line."""
    counts = {state: sum(finding.state == state for finding in findings) for state in ("problem", "warning")}
    said = ", ".join(f"{count} {state}{'s' * (count > 1)}" for state, count in counts.items() if count)
    console.print(said or "all that a search needs is there", highlight=False)
