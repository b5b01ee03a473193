"""Our own tables; Optuna's stand beside them in the same database.

A change here needs a revision in `trials/migrations/versions` (docs/architecture.md says how one is made).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Double, ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Table(DeclarativeBase):
    """Base of our own tables, whose names begin with nas_."""


class SchemaRow(Table):
    """One row, which programs from before there were revisions read; they refuse what is above 2."""

    __tablename__ = "nas_schema"
    version: Mapped[int] = mapped_column(primary_key=True)


class SettingRow(Table):
    """What holds for the whole database, as where its weights lie."""

    __tablename__ = "nas_settings"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str]


class SearchRow(Table):
    """A search as it began: its spec, its networks and job ids, its images, and the versions that run it."""

    __tablename__ = "nas_searches"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    networks: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    job_ids: Mapped[list[str]] = mapped_column(JSON)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    versions: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=datetime.now)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)


class JobRow(Table):
    """A job and what it found, by content id: searches share it."""

    __tablename__ = "nas_jobs"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    job: Mapped[dict[str, Any]] = mapped_column(JSON)
    result: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=datetime.now)


class FigureRow(Table):
    """What a front reads of a job's result, prunings excepted: rows of `nas_jobs` are long."""

    __tablename__ = "nas_figures"
    id: Mapped[str] = mapped_column(ForeignKey(JobRow.id), primary_key=True)
    correct: Mapped[int]
    images: Mapped[int]
    wall_seconds: Mapped[float] = mapped_column(Double)
    weights_sha256: Mapped[str] = mapped_column(String(64))
    training_id: Mapped[str | None] = mapped_column(String(16), index=True)  # whose weights it scores on test
