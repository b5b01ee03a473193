"""The images of a spec, what is planned of it, and the room that this takes."""

import shutil
from collections.abc import Iterator

from platformdirs import user_cache_path

from nas.checks_machine import OURS, nearest
from nas.estimate import bytes_of_images, bytes_of_weights
from nas.findings import Finding, ok, problem, refused, warning
from nas.first_questions import describe
from nas.planning import Plan, make_plan
from nas.spec import Spec
from nas.submit import check_plan
from search_spaces import NasError
from trials.database import StoreError, sqlite_path
from trials.dataset import load_dataset
from trials.folders import FolderError, beside, is_remote, open_path
from trials.source_facts import describe_source
from trials.torchvision_source import PARTS, TORCHVISION, is_downloaded


def check_spec(spec: Spec, *, allow_code: bool) -> Iterator[Finding]:
    """Images are decoded into the cache where they are not yet; nothing is downloaded."""
    name = spec.data.source.removeprefix(TORCHVISION)
    if spec.data.source.startswith(TORCHVISION) and name in PARTS and not is_downloaded(name, spec.data.root):
        text = f"{name} is not in {spec.data.root!r}, or not whole"
        yield warning("data", text, "nas plan SPEC downloads it, and then tells whether the base fits")
        return
    try:
        yield _check_data(spec)
    except NasError as error:
        yield refused("data", error)
        return
    if spec.measures_latency:
        check_plan(spec, allow_code=allow_code)
        yield ok("spec", f"{spec.name}: the base fits the images; networks are chosen once latency is measured")
        return
    plan = make_plan(spec, allow_code=allow_code)
    more = ", more by what prunings find" if plan.prunings else ""
    yield ok("spec", f"{spec.name}: the base fits the images, {len(plan.networks) - 1} networks beside it{more}")
    yield from _check_room(plan)


def _check_data(spec: Spec) -> Finding:
    dataset = load_dataset(spec.data)
    text = f"{spec.data.source}: {describe(spec.data, describe_source(spec.data))}"
    if dataset.unreadable:
        names = ", ".join(dataset.unreadable[:3])
        text = f"{text}; {len(dataset.unreadable)} cannot be read and are left out: {names}"
        return warning("data", text, "mend or remove these files")
    return ok("data", text)


def _check_room(plan: Plan) -> Iterator[Finding]:
    """What weights and resized images take, against what is free."""
    spec = plan.problem.spec
    try:
        path = sqlite_path(spec.storage)
        folder = open_path(spec.checkpoints) if spec.checkpoints else path and beside(path)
    except (StoreError, FolderError):  # their own checks say so
        folder = None
    needs = {
        "weights": (folder, bytes_of_weights(plan)),
        "resized images": (user_cache_path(OURS), bytes_of_images(plan)),
    }
    for what, (place, needed) in needs.items():
        if place is None or is_remote(place) or not needed:
            continue
        free = shutil.disk_usage(nearest(place)).free
        more = ", prunings apart" if plan.prunings and what == "weights" else ""
        text = f"{what} take about {needed / 1e6:,.0f} MB{more}; {free / 1e6:,.0f} MB are free"
        if needed > free:
            yield problem("room", text, "free some, or search fewer networks or seeds")
        else:
            yield warning("room", text, "free some before others do") if 2 * needed > free else ok("room", text)
