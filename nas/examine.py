"""One check of `nas doctor`, as a process: `python -m nas.examine`, told on standard input what to examine.

A finding is a line of JSON on standard output, printed as soon as it is known.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from nas.child import die_with
from nas.findings import Finding, problem, refused
from nas.spec import Spec, parse_spec
from search_spaces import NasError, one_line


def examine(order: dict[str, Any]) -> Iterator[Finding]:
    """What the check of this name finds; what it needs is loaded by it alone, as that may fail, too."""
    spec: Spec | None = None
    if order["spec"] is not None:
        spec = parse_spec({**order["spec"], "storage": order["storage"]}, origin="the spec")
    check, storage, checkpoints = order["check"], order["storage"], order["checkpoints"]
    if check == "machine":
        from nas.checks_machine import check_machine

        yield from check_machine(spec, storage, checkpoints)
    elif check == "torch":
        from nas.checks_torch import check_torch

        yield from check_torch(spec)
    elif check == "ray":
        from nas.checks_ray import check_ray

        yield from check_ray(spec)
    elif check in ("database", "checkpoints"):
        from nas.checks_store import check_checkpoints, check_database

        yield from check_database(storage, spec) if check == "database" else check_checkpoints(storage, checkpoints)
    else:
        from nas.checks_spec import check_spec

        assert spec is not None, "the check of a spec needs one"
        yield from check_spec(spec, allow_code=order["allow_code"])


def main() -> None:
    """Print what is found; an error is a finding, too."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    die_with(order["parent"])
    try:
        for finding in examine(order):
            _print(finding)
    except NasError as error:
        _print(refused(order["check"], error))
    except (Exception, SystemExit) as error:  # whatever a broken installation raises
        _print(problem(order["check"], f"{type(error).__name__}: {one_line(error)}"[:500]))


def _print(finding: Finding) -> None:
    print(json.dumps(finding.to_json()), flush=True)


if __name__ == "__main__":
    main()
