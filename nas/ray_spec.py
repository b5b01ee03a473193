"""Where jobs run: the section ray of a spec."""

import os
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nas.spec_errors import SpecError, explain
from trials.fields import Count, Real
from trials.placement import ALONE

ADDRESS = "NAS_RAY_ADDRESS"
MOVED = {"workers": "max_concurrent", "gpu_share": "gpus_per_job"}  # of search, where specs had them before


class RaySpec(BaseModel):
    """Where jobs run and what each of them takes; all of it may change while a search goes on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str | None = Field(
        None,
        description="Of a Ray cluster, as 10.0.0.1:6379; by default what NAS_RAY_ADDRESS says, else a Ray of its own "
        "on this machine, which ends with the search.",
    )
    max_concurrent: Count | None = Field(
        None,
        ge=1,
        le=1024,
        description="Jobs at once, one a Ray worker; by default 2, on a cluster as many as it holds. "
        "Earlier search.workers, which is read, too.",
    )
    cpus_per_job: Count = Field(1, ge=1, le=1024, description="Cores of each, and threads that it computes with.")
    gpus_per_job: Real = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of a GPU that each takes, where search.device is cuda; 0.25 puts four on one. Earlier "
        "search.gpu_share, which is read, too.",
    )

    @field_validator("address")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        host, _, port = (value or "host:1").rpartition(":")
        if not host or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(
                "must be host:port of the head's GCS, as 10.0.0.1:6379 (the driver itself runs on a node of the "
                "cluster, so there is no ray://)"
            )
        return value

    @property
    def at_once(self) -> int:
        """Jobs at once, as far as that is known before a cluster says how many it holds."""
        return self.max_concurrent or ALONE

    @property
    def place(self) -> str:
        """The cluster's address, of the spec or of the environment; empty for a Ray of its own.

        Raises SpecError for one of the environment that is none.
        """
        if self.address is not None:
            return self.address
        given = os.environ.get(ADDRESS, "")
        try:
            return RaySpec(address=given).address or "" if given else ""
        except ValidationError as error:
            raise SpecError(f"{ADDRESS}: {explain(error, RaySpec)}") from error


def joins_cluster(spec: RaySpec | None) -> bool:
    """Whether jobs would run on a cluster, by a spec or the environment alone; also where its address is none."""
    try:
        return bool((spec or RaySpec()).place)
    except SpecError:
        return True


def take_moved(data: Any) -> Any:
    """A spec's plain data with the keys that were `search`'s where they stand now.

    Raises ValueError where both places name one.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("search"), Mapping):
        return data
    search, ray = dict(data["search"]), data.get("ray") or {}
    moved = {now: search.pop(before) for before, now in MOVED.items() if before in search}
    if not moved or not isinstance(ray, Mapping):
        return data
    for before, now in MOVED.items():
        if now in moved and now in ray:
            raise ValueError(f"ray.{now} must stand alone, but search.{before}, its earlier name, is given as well")
    return {**data, "search": search, "ray": {**ray, **moved}}
