"""docs/tutorial.md, done as it says: its files, commands and Python, in order, in an empty folder."""

import re
import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from tests.conftest import NAS, environment, heed_interrupts, run_nas
from tests.documents import EXAMPLE, ROOT, Block, Shown, arguments_of, blocks

TUTORIAL = blocks(ROOT / "docs" / "tutorial.md")
INTERRUPT = "^C"  # shown where a person ends a command
DURATION = re.compile(r"(\d+ (h|min|s|ms)\b ?)+")


def do(block: Block, folder: Path) -> None:
    """What a reader does with a block; bash is how to install."""
    if block.language == "yaml":
        (folder / block.title).write_text(block.text)
    elif block.language == "python":
        done = subprocess.run(
            [sys.executable, "-c", block.text],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
    elif block.language == "console":
        for shown in block.shown():
            printed = interrupted(shown, folder) if INTERRUPT in shown.output else run(shown, folder)
            if block.title != EXAMPLE:
                assert_shown(shown, printed)


def run(shown: Shown, folder: Path) -> str:
    (arguments,) = arguments_of(shown.command)
    done = run_nas(folder, *arguments, timeout=600)
    assert done.returncode == 0, f"{shown.command}: {done.stderr}"
    return done.stdout


def interrupted(shown: Shown, folder: Path) -> str:
    """Of a server that runs until Ctrl-C, which it gets once the address that it prints was opened."""
    (arguments,) = arguments_of(shown.command)
    running = subprocess.Popen(
        [NAS, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=heed_interrupts,  # noqa: PLW1509 the tests run no threads here
    )
    assert running.stdout is not None
    try:
        first = running.stdout.readline()
        browser = build_opener(HTTPCookieProcessor())  # the token becomes a cookie
        with browser.open(first.split()[0], timeout=60) as page:
            assert page.status == 200
    finally:
        running.send_signal(signal.SIGINT)
        rest, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    return f"{first}{INTERRUPT}\n{rest}"


def plain(line: str) -> str:
    """Without what differs from machine to machine: durations, and how blanks are spread."""
    return DURATION.sub("TIME ", " ".join(line.split()))


def assert_shown(shown: Shown, printed: str) -> None:
    """Every line shown was printed, in this order."""
    rest = iter([plain(line) for line in printed.splitlines()])
    for line in shown.output:
        assert plain(line) in rest, f"{shown.command} must print {line!r}, but gives:\n{printed}"


def searches(block: Block) -> bool:
    return block.language == "console" and any(shown.command.startswith("nas search") for shown in block.shown())


def test_until_the_first_search(tmp_path: Path) -> None:
    first = list(takewhile(lambda block: not searches(block), TUTORIAL))
    assert [shown.command.split()[1] for block in first for shown in block.shown()] == ["cost", "plan"]
    for block in first:
        do(block, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["digits.yaml"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_whole_tutorial(tmp_path: Path) -> None:
    for block in TUTORIAL:
        do(block, tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert made >= {"nas.db", "report.html", "winner.json", "winner.safetensors", "winner.onnx", "photos"}


def test_lines_that_are_not_printed_are_noticed() -> None:
    shown = Shown(command="nas plan x", output=("a  12 s", "b 3"))
    assert_shown(shown, "a 1 min 5 s\nmore\nb   3\n")
    for printed in ("a 12 s\nb 4\n", "b 3\na 12 s\n", "b 3\n"):
        with pytest.raises(AssertionError, match="nas plan x must print"):
            assert_shown(shown, printed)
