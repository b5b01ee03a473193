"""Ray: one of our own starts, or the cluster of the spec answers."""

import os
from collections.abc import Iterator
from dataclasses import replace

from nas.findings import Finding, ok, warning
from nas.ray_spec import RaySpec
from nas.spec import Spec
from nas.start import placement_of
from trials.placement import Placement
from trials.ray_check import RayFacts, try_ray
from trials.ray_environment import TOKEN
from trials.ray_token import PRIVATE, read_token, token_path

ROOM_SECONDS = 15.0  # for a cluster to find room for a worker
START_SECONDS = 600.0  # for a Ray of our own; the whole check ends before
_NOWHERE = f"{os.devnull}/none"  # a token file here is never there, so nothing of it is changed


def check_ray(spec: Spec | None) -> Iterator[Finding]:
    """Raises WorkersError, TokenError and SpecError as a search would."""
    asked = Placement(address=RaySpec().place) if spec is None else placement_of(spec)
    yield from _check_token(asked.address)
    # GPUs of this machine are torch's matter; limits watch jobs
    one = replace(Placement(), address=asked.address, count=1, cpus=asked.cpus, gpus=asked.gpus if asked.address else 0)
    yield _told(one, try_ray(one, ROOM_SECONDS if asked.address else START_SECONDS))


def _check_token(address: str) -> Iterator[Finding]:
    """The token file is read here, with the mode that it has: a search would mend that."""
    path = token_path()
    token, mode = read_token(path)
    if mode is not None and mode & ~PRIVATE:
        text = f"others may read {path} (mode {mode:04o}), and who has Ray's token may run code as you"
        yield warning("ray token", text, f"chmod 600 {path}")
    if address and token and not os.environ.get(TOKEN):
        os.environ[TOKEN] = token
    if not address or os.environ.get(TOKEN):
        os.environ["RAY_AUTH_TOKEN_PATH"] = _NOWHERE


def _told(one: Placement, facts: RayFacts) -> Finding:
    if not one.address:
        text = f"{facts.version}: one of our own started on 127.0.0.1, its worker answered after {facts.seconds:.1f} s"
        return ok("ray", text)
    nodes = ", ".join(f"{name} ({cpus:g} cores, {gpus:g} GPUs)" for name, cpus, gpus in facts.nodes)
    text = f"{facts.version}, cluster at {one.address}: {nodes}"
    if facts.seconds is None:
        gpus = f" and {one.gpus:g} of a GPU" if one.gpus else ""
        text = f"{text}; no room for a worker of {one.cpus} cores{gpus}, waited for {ROOM_SECONDS:.0f} s"
        return warning("ray", text, "other searches may hold all of it; lower ray.cpus_per_job or add nodes")
    return ok("ray", f"{text}; a worker answered after {facts.seconds:.1f} s")
