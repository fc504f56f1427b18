"""Text embeddings kept on disk, so that a text is encoded once (docs/design.md, D5)."""

import json
import logging
import os
import re
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from sugar.files import atomic_write

_FORMAT = "sugar-text-embeddings-1"

_log = logging.getLogger(__name__)


def default_cache_folder() -> Path:
    """``$XDG_CACHE_HOME/sugar``, or ``~/.cache/sugar``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sugar"


class EmbeddingCache:
    """Text embeddings on disk: one safetensors file per model and revision, rows known by their text's hash.

    A damaged file counts as empty and is written anew. Two processes that write at once lose at most each
    other's new rows, which are then encoded again.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else default_cache_folder() / "text-embeddings"

    def path(self, name: str, fingerprint: str) -> Path:
        """The file of one model and revision."""
        slug = re.sub(r"[^a-z0-9]+", "-", Path(name).name.lower()).strip("-")
        return self.folder / f"{slug}-{fingerprint[:16]}.safetensors"

    def read(self, name: str, fingerprint: str) -> dict[str, Tensor]:
        """Every stored row ``[d]`` by text hash; empty when there is no file, or a damaged one."""
        path = self.path(name, fingerprint)
        if not path.is_file():
            return {}
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                rows = file.get_tensor("embeddings")
            keys = json.loads(metadata["keys"])
            sound = metadata["format"] == _FORMAT and metadata["fingerprint"] == fingerprint
            if not sound or rows.ndim != 2 or len(rows) != len(keys) or not rows.isfinite().all():
                raise ValueError("content does not fit its header")
        except (safetensors.SafetensorError, KeyError, ValueError, OSError) as error:
            _log.warning("%s: damaged text embeddings are made again (%s)", path, error)
            return {}
        return dict(zip(keys, rows, strict=True))

    def add(self, name: str, fingerprint: str, rows: dict[str, Tensor]) -> None:
        """Write ``rows`` beside those stored; a folder that cannot be written costs speed, not the run."""
        # Read again just before writing: another process may have added rows meanwhile.
        stored = {**self.read(name, fingerprint), **rows}
        metadata = {
            "format": _FORMAT,
            "fingerprint": fingerprint,
            "keys": json.dumps(list(stored)),
        }
        try:
            with atomic_write(self.path(name, fingerprint)) as temporary:
                save_file({"embeddings": torch.stack(list(stored.values()))}, temporary, metadata)
        except (OSError, safetensors.SafetensorError) as error:
            _log.warning("%s: text embeddings are not cached (%s)", self.folder, error)
