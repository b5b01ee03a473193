"""Where jobs run and what each may use. None of it changes a number."""

from dataclasses import dataclass

ALONE = 2  # workers of a Ray of one's own, where nothing else is said


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What ends a job: minutes that it runs, and gigabytes (1e9 bytes) of its process's own memory; None: nothing."""

    minutes: float | None = None
    memory_gb: float | None = None

    def __str__(self) -> str:
        named = {"search.job_minutes": self.minutes, "search.job_memory_gb": self.memory_gb}
        return ", ".join(f"{name} {value:g}" for name, value in named.items() if value is not None)


NO_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Workers: how many, on which Ray, with so many cores and so much of a GPU each.

    Without an `address` Ray is started on this machine and ends with the search. A `count` of None is ALONE there, and
    on a cluster as many as its nodes hold.
    """

    address: str = ""
    count: int | None = None
    device: str = "cpu"
    cpus: int = 1
    gpus: float = 0.0
    limits: Limits = NO_LIMITS
