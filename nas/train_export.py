"""An exported network trained in full: a new export of the same format."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from nas.export import ExportError, LoadedNetwork, load_export
from nas.export_files import check_target, write_exported
from nas.export_format import ExportedNetwork
from nas.exported_images import open_images
from nas.retrained import Retrained, Tensors, export_retrained
from search_spaces import Architecture
from search_spaces.build import Network
from trials.checkpoint import weights_bytes
from trials.full_training import Epoch, train_in_full
from trials.job import Job
from trials.latency import open_device
from trials.recipe import PRESETS, PresetName, Recipe, preset
from trials.weights import drop_states, sha256


@dataclass(frozen=True, kw_only=True)
class FullTraining:
    """How a network is trained in full: what of the file's recipe is changed, and where it begins."""

    epochs: int | None = None
    preset: PresetName | None = None
    seed: int = 0
    goes_on: bool = False  # from the exported weights, not from fresh ones
    source: str | None = None
    root: str | None = None
    device: str = "cpu"

    def recipe(self, path: Path, info: ExportedNetwork) -> Recipe:
        """Every value of the training; the file's own, of a network that was fine-tuned that of its base."""
        own = info.training.origin or info.training.recipe
        if self.preset is None and own is None:
            raise ExportError(
                f"{path} must state the recipe of its training, but is older than that; choose one by --preset "
                f"{' or '.join(PRESETS)}"
            )
        base = preset(self.preset, **({"precision": own.precision} if own else {})) if self.preset else own
        assert base is not None
        return base if self.epochs is None else Recipe(**{**base.model_dump(), "epochs": self.epochs})


def train_export(
    path: Path, output: Path, how: FullTraining, *, force: bool, report: Callable[[int, Epoch], None]
) -> ExportedNetwork:
    """Train the network of a file and write what it became, with its weights beside it.

    States lie in a folder beside `output` until it is written: the same call goes on from there after a crash. Of
    several networks each is trained; then their operating point is found anew on validation, under the file's bound.
    Test is scored once, in the end. `report` is told the number of the network and where its training stands. Raises
    ExportError for files that cannot be read or written, DataError for images, TrainingDiverged.
    """
    weights = check_target(output, force=force)
    open_device(how.device)
    loaded = load_export(path)
    recipe = how.recipe(path, loaded.info)
    settings, dataset = open_images(path, loaded.info, how.source, how.root)
    starts = _weights_of(loaded)
    jobs = [
        Job(
            kind="train",
            architecture=Architecture.from_json(data),
            data=settings,
            images_id=dataset.id,
            recipe=recipe,
            seed=how.seed,
            start_sha256=sha256(weights_bytes(start)) if how.goes_on else "",
        )
        for data, start in zip(loaded.info.networks, starts, strict=True)
    ]
    with _training_folder(output) as folder:
        trained = [
            train_in_full(
                job,
                dataset,
                folder,
                start=start if how.goes_on else {},
                report=lambda epoch, number=number: report(number, epoch),  # type: ignore[misc]
                device=how.device,
            )
            for number, (job, start) in enumerate(zip(jobs, starts, strict=True))
        ]
        found = Retrained(
            info=loaded.info,
            jobs=tuple(jobs),
            weights=tuple(trained),
            dataset=dataset,
            preset=how.preset or loaded.info.training.preset,
            goes_on=how.goes_on,
            device=how.device,
        )
        exported, content = export_retrained(found, weights.name)
        write_exported(exported, content, output)
        for job in jobs:
            drop_states(folder, job.id)
    return exported


@contextmanager
def _training_folder(output: Path) -> Iterator[Path]:
    """Where states lie, for one process; it goes once nothing is left in it."""
    folder = output.with_name(f"{output.stem}-training")
    lock = FileLock(folder / "lock")
    try:
        folder.mkdir(exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ExportError(f"{output} must be trained by one process, but another one trains it now") from error
    except OSError as error:
        raise ExportError(f"states of the training must be kept in {folder}, but: {error.strerror}") from error
    try:
        yield folder
    finally:
        if [path.name for path in folder.iterdir()] == ["lock"]:
            with suppress(OSError):
                (folder / "lock").unlink()
                folder.rmdir()
        lock.release()


def _weights_of(loaded: LoadedNetwork) -> list[Tensors]:
    """The exported weights of each network."""
    if isinstance(loaded.network, Network):
        return [loaded.network.state_dict()]
    return [network.state_dict() for network in loaded.network.networks]
