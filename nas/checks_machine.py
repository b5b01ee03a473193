"""Python, packages, cores, memory, disks."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from platformdirs import user_cache_path

from nas.findings import Finding, ok, problem, warning
from nas.ray_spec import joins_cluster
from nas.spec import Spec
from trials.cores import usable_cores
from trials.database import StoreError, sqlite_path
from trials.folders import FolderError, beside, is_remote, open_path
from trials.memory import memory_limit

OURS = "nas-service"
LITTLE, TOO_LITTLE = 2e9, 1e8  # bytes free on a disk: a warning, a problem
SHARED = Path("/dev/shm")
LEAST_SHARED = 2e8  # bytes: containers have 64 MiB unless they are told otherwise
WORKER_BYTES = 1e9  # of a worker: torch holds 0.4e9 (docs/data.md), a small training as much again


def check_machine(spec: Spec | None, storage: str, checkpoints: str | None) -> Iterator[Finding]:
    """Yields a finding each; disks, which may hang, come last."""
    yield _check_python()
    yield _check_packages()
    yield _check_extras()
    yield _check_cores(spec)
    yield from _check_disks(storage, checkpoints)


def _check_python() -> Finding:
    wanted = metadata(OURS)["Requires-Python"]
    text = f"{platform.python_version()} at {sys.executable}"
    if wanted and platform.python_version() not in SpecifierSet(wanted, prereleases=True):
        return problem("python", f"must be {wanted}, but is {text}", "make a virtual environment with a newer one")
    return ok("python", text)


def _check_packages() -> Finding:
    names, wrong = installed_packages(OURS)
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        asked = " ".join(f"'{requirement}'" for requirement, _ in wrong[:3])
        return problem("packages", "; ".join(text for _, text in wrong[:3]) + more, f"pip install {asked}")
    shown = ", ".join(f"{name} {version(name)}" for name in (OURS, "torch", "ray", "optuna", "sqlalchemy"))
    return ok("packages", f"{shown}; all {len(names)} are of versions that go together")


def installed_packages(root: str) -> tuple[set[str], list[tuple[Requirement, str]]]:
    """All packages that one needs, by its own and their metadata; and what is missing or does not go together."""
    todo: list[tuple[str, str]] = [(root, "")]
    seen: set[tuple[str, str]] = set()
    wrong: dict[str, tuple[Requirement, str]] = {}
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for requirement in map(Requirement, requires(name) or ()):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            try:
                found = version(requirement.name)
            except PackageNotFoundError:
                wrong[str(requirement)] = requirement, f"{name} needs {_plain(requirement)}, which is not installed"
                continue
            if not requirement.specifier.contains(found, prereleases=True):
                wrong[str(requirement)] = requirement, f"{name} needs {_plain(requirement)}, but {found} is installed"
            todo += [(requirement.name, one) for one in ("", *requirement.extras)]
    return {name for name, _ in seen}, list(wrong.values())


def _plain(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _check_extras() -> Finding:
    said = []
    for extra in metadata(OURS).get_all("Provides-Extra") or ():
        if extra != "dev":
            wanted = [one for one in map(Requirement, requires(OURS) or ()) if _is_of(one, extra)]
            missing = [one.name for one in wanted if not _is_installed(one)]
            said.append(f"{extra} missing (pip install '{OURS}[{extra}]')" if missing else f"{extra} installed")
    return ok("extras", ", ".join(said) or "none")


def _is_of(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _is_installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _check_cores(spec: Spec | None) -> Finding:
    cores, memory = usable_cores(), memory_limit()
    text = f"{cores}, and {memory / 1e9:.1f} GB of memory"
    if spec is None or joins_cluster(spec.ray):
        return ok("cores", text)
    workers, wanted = spec.ray.at_once, spec.ray.at_once * spec.ray.cpus_per_job
    text += f", for {workers} workers at once, cores of each: {spec.ray.cpus_per_job}"
    if wanted > cores:
        return warning("cores", text, f"lower ray.max_concurrent to {max(1, cores // spec.ray.cpus_per_job)}")
    if memory < workers * WORKER_BYTES:
        return warning("cores", text, "lower ray.max_concurrent: a worker takes 1 GB or more")
    return ok("cores", text)


def _check_disks(storage: str, checkpoints: str | None) -> Iterator[Finding]:
    """Free space, once a disk."""
    places = {"images in the cache": user_cache_path(OURS), "Ray's own files": Path(tempfile.gettempdir())}
    try:
        database = sqlite_path(storage)
        weights = open_path(checkpoints) if checkpoints else database and beside(database)
    except (StoreError, FolderError):  # their own checks say so
        database = weights = None
    if database is not None:
        places["the database"] = database
    if weights is not None and not is_remote(weights):
        places["weights"] = weights
    disks: dict[int, tuple[Path, list[str]]] = {}
    for what, place in places.items():
        there = nearest(place)
        disks.setdefault(os.stat(there).st_dev, (there, []))[1].append(what)
    for there, named in disks.values():
        free = shutil.disk_usage(there).free
        text = f"{free / 1e9:.1f} GB free for {', '.join(named)} ({there})"
        way_out = "free some, or move them: storage, checkpoints, XDG_CACHE_HOME, TMPDIR"
        if free < TOO_LITTLE:
            yield problem("disk", text, way_out)
        else:
            yield warning("disk", text, way_out) if free < LITTLE else ok("disk", text)
    if SHARED.is_dir():
        size = shutil.disk_usage(SHARED).total
        if size < LEAST_SHARED:
            text = f"{SHARED} holds {size / 1e6:.0f} MB, too little for images that Ray's workers share"
            yield warning("disk", text, "start the container with --shm-size=2g")


def nearest(place: Path) -> Path:
    """The place, or the nearest folder above it that exists."""
    absolute = Path(os.path.abspath(place))
    return next(path for path in (absolute, *absolute.parents) if path.exists())
