"""Pretrained models in Hugging Face layout, from a folder or by their id: one safe way to load them.

A folder is never looked up anywhere else; the network is touched only for an id. No code of a model is run and no
pickle is read. transformers is imported inside the functions: it takes seconds.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sugar.errors import InputError, one_line

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHOWN = 200
"""Letters of another library's message that are passed on."""


@dataclass(frozen=True)
class Pretrained:
    """A model folder, or a Hugging Face id and its revision.

    Args:
        location: path of a folder, or an id.
        local: whether it is a folder.
        revision: branch, tag or commit of an id; None: its main branch.
    """

    location: str
    local: bool
    revision: str | None = None

    def load(self, kind: Any, **options: Any) -> Any:
        """``kind.from_pretrained``, for a config, a tokenizer or a processor."""
        return kind.from_pretrained(self.location, trust_remote_code=False, **self._where, **options)

    def load_weights(self, kind: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        """``kind.from_pretrained``, for a model: the model, and the keys that its files lack or that do not fit."""
        options = {"use_safetensors": True, "output_loading_info": True} | options
        return self.load(kind, **options)

    def read_json(self, file: str) -> dict[str, Any]:
        """The content of a JSON file; empty if there is no such file."""
        from transformers.utils.hub import cached_file

        found = cached_file(self.location, file, _raise_exceptions_for_missing_entries=False, **self._where)
        return json.loads(Path(found).read_text(encoding="utf-8")) if found else {}

    @property
    def _where(self) -> dict[str, Any]:
        return {"local_files_only": True} if self.local else {"revision": self.revision}


@contextmanager
def loading(cannot: str, progress: bool = False) -> Iterator[None]:
    """Load quietly, and turn the libraries' errors into one line.

    Args:
        cannot: the beginning of that line, such as ``"text encoder minilm: cannot be loaded"``.
        progress: see `quiet`.

    Raises:
        InputError: a file is missing, damaged or of another kind.
    """
    from safetensors import SafetensorError

    try:
        with quiet(progress):
            yield
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise InputError(f"{cannot} ({one_line(error)[:_SHOWN]})") from error


@contextmanager
def quiet(progress: bool = False) -> Iterator[None]:
    """Silence warnings of transformers and the hub, and without ``progress`` their bars."""
    from transformers.utils import logging as transformers_logging

    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    hide_bar = not progress and transformers_logging.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    if hide_bar:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if hide_bar:
            transformers_logging.enable_progress_bar()


def hub_commit(name: str, revision: str | None, where: str) -> str:
    """The commit that a revision of a Hugging Face id stands for, so that later files are of the same state.

    Args:
        revision: branch, tag or full commit, which is not looked up; None: ``main``.
        where: the beginning of an error, such as ``"text encoder some/id@main"``.

    Raises:
        InputError: there is no such id or revision, or it cannot be reached.
    """
    revision = revision or "main"
    if _COMMIT.fullmatch(revision):
        return revision
    from transformers.utils.hub import cached_file, extract_commit_hash

    try:
        with quiet():
            commit = extract_commit_hash(cached_file(name, "config.json", revision=revision), None)
    except OSError as error:
        raise InputError(f"{where}: cannot be found ({one_line(error)[:_SHOWN]})") from error
    if commit is None:
        raise InputError(f"{where}: no commit known; give a full commit as revision")
    return commit


def files_hash(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents of those of the files that exist."""
    digest = hashlib.sha256()
    for path in files:
        if path.is_file():
            digest.update(f"{path.name}:{sha256(path)};".encode())
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
