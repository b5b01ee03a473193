"""Answers of a person: from options, else asked for in a terminal, else the defaults."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from rich.console import Console
from rich.text import Text

from search_spaces import NasError, one_line

_T = TypeVar("_T")


class AskError(NasError):
    """An option that is missing, or whose value is none."""


class Ask:
    """`given` are the values of options, by their names; without a `terminal` nobody is asked."""

    def __init__(self, given: Mapping[str, str], terminal: Console | None) -> None:
        self._given, self._terminal = given, terminal
        self._asked = 0
        self._told = {""}

    def __call__(
        self, option: str, question: str, read: Callable[[str], _T], default: str | None = None, choices: str = ""
    ) -> _T:
        """What `read` makes of the answer; one that it refuses, by a NasError, is asked for again.

        `choices` are told before. Raises AskError where nobody can be asked.
        """
        if option in self._given:
            return self._read(option, self._given[option], read)
        if self._terminal is None:
            if default is None:
                raise AskError(f"--{option} must be given where nobody can be asked; {choices or question}")
            return self._read(option, default, read)
        if choices not in self._told:
            self.tell(choices)
        self._told.add(choices)
        while True:
            shown = f"  {question} [{default}]: " if default else f"  {question}: "
            answer = self._terminal.input(Text(shown, "bold")).strip()
            self._asked += 1
            try:
                return read(answer or default or "")
            except NasError as error:
                self.tell(f"  {one_line(error)}")

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody."""
        return self._terminal is not None

    def has(self, option: str) -> bool:
        """Whether an option was given."""
        return option in self._given

    def tell(self, line: str) -> None:
        """A line in the terminal; nothing where there is none."""
        if self._terminal is not None:
            self._terminal.print(line, markup=False, highlight=False, soft_wrap=True)

    def again(self, questions: Callable[[], _T]) -> _T:
        """What several questions lead to; where that is a NasError they are asked again, if any of them was."""
        while True:
            before = self._asked
            try:
                return questions()
            except NasError as error:
                if self._asked == before:
                    raise
                self.tell(f"  {one_line(error)}")

    @staticmethod
    def _read(option: str, text: str, read: Callable[[str], _T]) -> _T:
        try:
            return read(text.strip())
        except NasError as error:
            raise AskError(f"--{option}: {error}") from error
