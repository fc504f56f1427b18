"""A config that trains in a second on made-up motions."""

from pathlib import Path
from typing import Any


def values(folder: Path, data: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Of a run on ``folder/store``: stage 1, one epoch; ``data`` is laid over its data, ``changes`` over the whole."""
    divided = {"protocol": "synthetic-cross-person", "validation": {"by": "fraction", "fraction": 0.2}}
    loop = {"loop": {"epochs": 1, "batch_size": 16, "tensorboard": "off"}}
    return {
        "data": {"store": str(folder / "store"), **divided} | (data or {}),
        "knowledge": {"pack": "synthetic"},
        "model": {"frames": 16, "encoder": {"branches": []}, "motion": {"phrasings": 1}},
        "stages": ["alignment"],
        "alignment": loop,
        "baseline": loop,
    } | changes
