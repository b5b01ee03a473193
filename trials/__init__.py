"""Runs jobs, alone or on Ray Tune, and records them.

Named here is what is quick to import. Modules that load torch, Ray, Optuna or scikit-learn are imported by
their own names, so that `nas plan` loads none of them.
"""

from trials.data import SOURCES, DataError, Dataset, DataSettings
from trials.job import Job, JobFailure, JobResult
from trials.recipe import Recipe

__all__ = [
    "SOURCES",
    "DataError",
    "DataSettings",
    "Dataset",
    "Job",
    "JobFailure",
    "JobResult",
    "Recipe",
]
