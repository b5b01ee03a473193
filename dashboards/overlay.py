"""What our pages of optuna-dashboard show beside its own: the note, the figures, and only feasible best trials.

Nothing of it is written into the database: it is made when a page asks, so it is as new as the results, also of a
search that runs now, and a database that can only be read has it, too.
"""

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs

import numpy as np
from moocore import is_nondominated

from dashboards.door import App, Environ, Start
from dashboards.figures import WIDE, figures_of
from dashboards.front import read_front
from dashboards.note import make_note
from search_spaces import NasError
from trials.store import Store, StoredSearch

_STUDY = re.compile(r"/api/studies/[0-9]+/?")
REST = 10  # times as long as it took to make note and figures they stand before they are made again
FIRST_WAIT = 3.0  # seconds
# optuna-dashboard gives every figure half of the page's width and 450 px of height
_STYLE = "".join(
    f'.MuiGrid-root:has(>*>*>[id="user-defined-plot:{id_}"]){{width:100%;flex-basis:100%;max-width:100%}}'
    f'[id="user-defined-plot:{id_}"]{{height:{height}px!important}}'
    for id_, height in WIDE.items()
)


@dataclass(frozen=True)
class _Shown:
    """Note and figures of a search, what they were made of, and when they may be made again."""

    state: tuple[object, ...]
    until: float
    note: str = ""
    figures: tuple[dict[str, str], ...] = ()


class Overlay:
    """Notes and figures of the searches in a store, made in a thread while a page shows what was there before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shown: dict[str, _Shown] = {}
        self._work: Thread | None = None
        self._lock = Lock()

    def close(self) -> None:
        """Waits for what is being made: the store may be closed afterwards."""
        if self._work is not None:
            self._work.join()

    def cover(self, app: App) -> App:
        """The same pages, with note, figures and best trials of ours in what they are told of a study."""

        def covered(environ: Environ, start: Start) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if environ["REQUEST_METHOD"] != "GET" or not (_STUDY.fullmatch(path) or path.startswith("/dashboard")):
                return app(environ, start)
            after = parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[0]
            whole = {**environ, "QUERY_STRING": "after=0"}  # the front is one of all trials
            status, headers, content = _answer(app, whole)
            if status.startswith("200"):
                if path.startswith("/dashboard"):
                    content = content.replace(b"</head>", f"<style>{_STYLE}</style></head>".encode(), 1)
                elif after.isdecimal():
                    content = self._cover_study(json.loads(content), int(after))
            rest = [(name, value) for name, value in headers if name.lower() != "content-length"]
            start(status, [*rest, ("Content-Length", str(len(content)))])
            return [content]

        return covered

    def _cover_study(self, study: dict[str, Any], after: int) -> bytes:
        study["best_trials"] = best_trials(study["trials"], study["directions"])
        shown = self._current(study["name"], len(study["trials"]))
        if shown is not None:
            study["plotly_graph_objects"] = [*study["plotly_graph_objects"], *shown.figures]
            if not study["note"]["body"]:  # what a person has written stands
                study["note"] = {**study["note"], "body": shown.note}
        study["trials"] = study["trials"][after:]
        return json.dumps(study).encode()

    def _current(self, name: str, trials: int) -> _Shown | None:
        """What was made last; where results have come since, it is made anew for the next time.

        The first time it is waited for a little, as a page asks again only after ten seconds.
        """
        self._refresh(name, trials)
        if name not in self._shown and self._work is not None:
            self._work.join(FIRST_WAIT)
        return self._shown.get(name)

    def _refresh(self, name: str, trials: int) -> None:
        with self._lock:
            shown, busy = self._shown.get(name), self._work is not None and self._work.is_alive()
            if busy or (shown is not None and time.monotonic() < shown.until):
                return
            try:
                search = self._store.find_search(name)
            except NasError:  # as where the database is locked
                return
            if search is not None:  # not a study of somebody else
                state = (trials, search.finished, len(search.networks), json.dumps(search.data.get("descents")))
                if shown is None or shown.state != state:
                    self._work = Thread(target=self._make, args=(search, state), daemon=True)
                    self._work.start()

    def _make(self, search: StoredSearch, state: tuple[object, ...]) -> None:
        begun = time.monotonic()
        shown = self._shown.get(search.name, _Shown(state, begun))
        try:
            front = read_front(self._store, search.name)
            figures = tuple(
                {"id": one.id, "graph_object": one.for_dashboard()} for one in figures_of(self._store, front)
            )
            shown = _Shown(state, begun, make_note(search, front), figures)
        except NasError:  # shown is what was there, until the next time
            pass
        ended = time.monotonic()
        self._shown[search.name] = replace(shown, until=ended + REST * (ended - begun))


def best_trials(trials: Sequence[dict[str, Any]], directions: Sequence[str]) -> list[dict[str, Any]]:
    """Of finished trials as optuna-dashboard lists them, those that keep all constraints and that no other beats.

    It takes infeasible ones for the best, too, and lets them push feasible ones out.
    """
    sound = [
        trial
        for trial in trials
        if trial["state"] == "Complete" and all(constraint <= 0 for constraint in trial["constraints"])
    ]
    if not sound:
        return []
    values = np.array([[float(value) for value in trial["values"]] for trial in sound])
    keep = is_nondominated(values, maximise=[name == "maximize" for name in directions], keep_weakly=True)
    return [trial for trial, kept in zip(sound, keep, strict=True) if kept]


def _answer(app: App, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status, headers and content of what an application answers."""
    told: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> None:
        told.append((status, headers))

    parts = app(environ, start)
    try:
        content = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    status, headers = told[-1]
    return status, headers, content
