"""Files that people attach to trials and studies, as Optuna's artifacts: in a folder beside the weights."""

import re
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from optuna.artifacts.exceptions import ArtifactNotFound

from trials.files import read_file, remove_file, write_atomically
from trials.folders import is_remote

ARTIFACTS = "artifacts"  # the folder's name


class FolderArtifacts:
    """An artifact store of Optuna's on a disk or at a URL of fsspec's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The content; raises ArtifactNotFound where there is none."""
        try:
            return BytesIO(read_file(self._path(artifact_id)))
        except FileNotFoundError as error:
            raise ArtifactNotFound(f"there is no artifact {artifact_id}") from error

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Keep it whole; raises FilesError where it cannot be written."""
        path = self._path(artifact_id)
        if not is_remote(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically({path: content_body.read()})

    def remove(self, artifact_id: str) -> None:
        """Remove it; raises ArtifactNotFound where there is none."""
        self.open_reader(artifact_id).close()
        remove_file(self._path(artifact_id))

    def _path(self, artifact_id: str) -> Path:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", artifact_id):  # the dashboard passes on what a page asks for
            raise ArtifactNotFound(f"no artifact can have the id {artifact_id!r}")
        return self._folder / artifact_id
