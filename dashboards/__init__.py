"""Reads the store: the front, and optuna-dashboard on the same database."""

from dashboards.front import Front, Score, ScoredNetwork, read_front

__all__ = ["Front", "Score", "ScoredNetwork", "read_front"]
