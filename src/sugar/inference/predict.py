"""The arguments and the output of `sugar predict`."""

import os
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from sugar.config import read_yaml, section
from sugar.errors import InputError
from sugar.inference.recognition import Recognition
from sugar.knowledge.pack import KnowledgePack, load_pack

TOP = 5
_FILE_SUFFIXES = (".txt", ".csv", ".tsv", ".lst", ".list", ".json", ".yaml", ".yml")


def parse_candidates(text: str) -> list[str]:
    """Candidate names from a file (one a line) or from a list with commas.

    Raises:
        InputError: no name, one twice, or a file that is not there or holds no UTF-8 text.
    """
    file = _candidates_file(text)
    try:
        names = text.split(",") if file is None else file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"--candidates {file}: cannot be read as UTF-8 text ({error})") from None
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise InputError("--candidates: the list is empty; give at least one action name")
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise InputError(f"--candidates: {repeated!r} is given twice; remove one")
    return names


def _candidates_file(text: str) -> Path | None:
    """The file that is meant; None: the text is a list of names.

    Raises:
        InputError: it is not there.
    """
    path, is_folder = Path(text), os.path.isdir(text)
    if os.path.exists(text) and not is_folder:  # false for a long list, with which Path.exists fails
        return path
    if is_folder or ("," not in text and ("/" in text or path.suffix.lower() in _FILE_SUFFIXES)):
        raise InputError(f'--candidates {text}: no such file; give one with a name a line, or names as "a,b,c"')
    return None


def find_pack(run: Path, name: str | None) -> KnowledgePack | None:
    """The pack asked for, or the one that the run was trained with where it can still be had.

    Raises:
        InputError: the pack asked for cannot be read.
    """
    if name is not None:
        return load_pack(name)
    path = run / "config.yaml"
    trained_with = section(read_yaml(path).get("knowledge"), "knowledge", str(path)).get("pack")
    try:
        return load_pack(trained_with) if trained_with else None
    except InputError:  # a user's own file that has moved: candidates go by their names
        return None


def as_json(found: Recognition) -> dict[str, Any]:
    """One clip's result as ``predict --json`` prints it; ``facts``: what was measured, and the claims checked."""
    return {
        "clip_id": found.clip_id,
        "label": found.label,
        "top": [[name, round(p, 6)] for name, p in islice(found.probabilities.items(), TOP)],
        "scores": {scorer: {name: round(p, 6) for name, p in table.items()} for scorer, table in found.scores.items()},
        "description": found.description,
        "facts": {"measured": found.facts, "claims": [asdict(claim) for claim in found.claims]},
    }
