"""A command in a real terminal, whose questions are answered as a person does: once they are read."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import NAS, environment

CTRL_C, CTRL_D = "\x03", "\x04"
_SECONDS = 120


@dataclass(frozen=True)
class Talk:
    """How it ended, and all that stood in the terminal, in lines of plain text."""

    returncode: int
    shown: str


def talk(folder: Path, arguments: Iterable[str], answers: Iterable[tuple[str, str]]) -> Talk:
    """Run `nas` in a terminal of its own; each answer is typed once its question, a part of a line, stands there.

    Fails where a question does not come.
    """
    keyboard, screen = pty.openpty()
    process = subprocess.Popen(
        [NAS, *arguments],
        cwd=folder,
        stdin=screen,
        stdout=screen,
        stderr=screen,
        env=environment() | {"COLUMNS": "200"},
        preexec_fn=_take_terminal,  # noqa: PLW1509 Ctrl-C comes as a signal then
        start_new_session=True,
    )
    os.close(screen)
    try:
        shown, seen = "", 0
        for question, answer in answers:
            while question not in shown[seen:]:
                more = _read(keyboard)
                assert more, f"{question!r} must be asked, but this is: {shown}"
                shown += more
            seen = shown.index(question, seen) + len(question)
            os.write(keyboard, (answer if answer in (CTRL_C, CTRL_D) else f"{answer}\n").encode())
        while more := _read(keyboard):
            shown += more
        return Talk(process.wait(_SECONDS), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r\n", "\n"))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(keyboard)


def _take_terminal() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(keyboard: int) -> str:
    """More of what is shown; nothing where the command has ended."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if select.select([keyboard], [], [], 1)[0]:
            try:
                return os.read(keyboard, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                return ""
    return ""
