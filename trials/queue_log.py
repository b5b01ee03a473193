"""What the drivers of a search said, kept in the database so that it can be read from anywhere; bounded."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trials.queue_schema import LogRow, QueueRow

KEPT_LINES = 2000  # of a search: the last ones
LINE_LENGTH = 2000


def keep_lines(session: Session, number: int, lines: Sequence[str], most: int = KEPT_LINES) -> None:
    """Add lines to what the search of this number said, and forget all but the last `most`."""
    if not lines and most:
        return
    session.add_all(LogRow(number=number, line=clean_line(line)) for line in lines[-most:])
    session.flush()
    ids = select(LogRow.id).where(LogRow.number == number).order_by(LogRow.id.desc())
    last = session.scalar(ids.offset(most).limit(1))
    if last is not None:
        gone = delete(LogRow).where(LogRow.number == number, LogRow.id <= last)
        session.execute(gone.execution_options(synchronize_session=False))


def clean_line(line: str) -> str:
    """Printable, as it will be shown in terminals: what a job's error quotes may come from anywhere."""
    return "".join(one if one.isprintable() else "?" for one in line[:LINE_LENGTH].expandtabs())


def read_lines(session: Session, name: str, after: int, most: int | None) -> list[tuple[int, datetime, str]]:
    """Lines after the id `after`, in their order; where there are more than `most`, the last of them."""
    rows = select(LogRow.id, LogRow.at, LogRow.line).join(QueueRow, QueueRow.number == LogRow.number)
    rows = rows.where(QueueRow.name == name, LogRow.id > after).order_by(LogRow.id.desc()).limit(most)
    return [(id_, at, line) for id_, at, line in session.execute(rows)][::-1]
