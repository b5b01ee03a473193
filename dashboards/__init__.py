"""Reads the store: the front, studies, and optuna-dashboard on the same database."""

from dashboards.front import Front, read_front
from dashboards.scored import Score, ScoredNetwork
from dashboards.study import StudyRow, make_study_rows

__all__ = ["Front", "Score", "ScoredNetwork", "StudyRow", "make_study_rows", "read_front"]
