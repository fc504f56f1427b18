"""Recognise clips from files: what `sugar predict` does."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from sugar.config import read_yaml
from sugar.errors import InputError
from sugar.knowledge.pack import KnowledgePack, load_pack
from sugar.models.recognition import Recognition
from sugar.models.sugar import Sugar
from sugar.skeleton.clip import SkeletonClip

TOP = 5


def parse_candidates(text: str) -> list[str]:
    """Candidate names from a file (one a line) or from a list with commas.

    Raises:
        InputError: no name, or one twice.
    """
    path = Path(text)
    try:
        is_file = path.is_file()
    except OSError:  # a long list is no file name
        is_file = False
    names = path.read_text(encoding="utf-8").splitlines() if is_file else text.split(",")
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise InputError("--candidates: the list is empty; give at least one action name")
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise InputError(f"--candidates: {repeated!r} is given twice; remove one")
    return names


def find_pack(run: Path, name: str | None) -> KnowledgePack | None:
    """The pack asked for, or the one that the run was trained with where it can still be had.

    Raises:
        InputError: the pack asked for cannot be read.
    """
    if name is not None:
        return load_pack(name)
    trained_with = read_yaml(run / "config.yaml").get("knowledge", {}).get("pack")
    try:
        return load_pack(trained_with) if trained_with else None
    except InputError:  # a user's own file that has moved: candidates go by their names
        return None


def predict(
    model: Sugar,
    clips: Iterable[SkeletonClip],
    candidates: Sequence[str] | None,
    pack: KnowledgePack | None = None,
    *,
    batch_size: int = 32,
) -> Iterator[Recognition]:
    """Recognise clips as they come, in batches, in constant memory."""
    waiting = iter(clips)
    while batch := list(islice(waiting, batch_size)):
        yield from model.recognize_all(batch, candidates, pack)


def as_json(found: Recognition) -> dict[str, Any]:
    """One clip's result as ``predict --json`` prints it; ``facts``: what was measured, and the claims checked."""
    return {
        "clip_id": found.clip_id,
        "label": found.label,
        "top": [[name, round(p, 6)] for name, p in found.top[:TOP]],
        "scores": {scorer: {name: round(p, 6) for name, p in table.items()} for scorer, table in found.scores.items()},
        "description": found.description,
        "facts": {"measured": found.measured, "claims": [asdict(claim) for claim in found.claims]},
    }
