"""What Ray reads in the environment: imported before Ray itself, by every module that imports it."""

import os
import secrets
from typing import ClassVar

from search_spaces import NasError
from search_spaces.errors import Retry
from trials.ray_token import mend_token_file, token_path

# Ray reads these when it is imported or started, and its processes inherit them.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",  # no telemetry
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",  # a Ray of our own: every service on the loopback address
    RAY_AUTH_MODE="token",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    RAY_DISABLE_FAILURE_SIGNAL_HANDLER="1",  # SIGTERM is ours: Ray would print where it was at that moment
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # no folder of logs per trial
    TUNE_DISABLE_SIGINT_HANDLER="1",  # Ctrl-C is ours
    RAY_AIR_NEW_OUTPUT="0",
    RAY_DEDUP_LOGS_SKIP_REGEX="(?s).*",  # what Ray prints when a node or a worker dies: we say what follows from it
    # a worker owns its cores: no second pool of threads may wake beside torch's
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
)
TOKEN = "RAY_AUTH_TOKEN"
_ours = secrets.token_hex(32)


class WorkersError(NasError):
    """Ray that cannot start or be reached."""

    retry: ClassVar[Retry] = "later"


class DeviceError(WorkersError):
    """A device that is not there, or not often enough."""

    retry: ClassVar[Retry] = "elsewhere"


class RayLostError(WorkersError):
    """Ray that ended while jobs ran. What is done is kept; the same search goes on when Ray is there again."""

    exit_status = os.EX_TEMPFAIL


def own_token() -> None:
    """For a Ray of our own: a token that lives in the environment of the driver and of what it starts, in no file."""
    os.environ.setdefault(TOKEN, _ours)
    mend_token_file(token_path())


def cluster_token() -> None:
    """For a cluster: the token that was given, by RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.

    `ray start` and others write the file so that everyone can read it: it is made readable by its owner alone. Raises
    WorkersError where there is none, and TokenError where the file is not ours to mend.
    """
    if os.environ.get(TOKEN) == _ours:
        del os.environ[TOKEN]
    if os.environ.get(TOKEN):
        return
    path = token_path()
    mend_token_file(path)
    if not path.is_file():
        raise WorkersError(f"the token of the cluster must be in {path}, but is not; write it there, or set {TOKEN}")
