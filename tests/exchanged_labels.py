"""A store in which two labels of one person are exchanged."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import generate
from sugar.skeleton.layouts import NTU25

CLASSES = ["sit down", "stand up", "clap"]


def values(folder: Path, **data: Any) -> dict[str, Any]:
    return {
        "data": {
            "store": str(folder / "store"),
            "protocol": "synthetic-cross-person",
            "validation": {"by": "none"},
            **data,
        },
        "knowledge": {"pack": "synthetic"},
        "model": {"frames": 16},
        "stages": ["alignment"],
        "alignment": {
            "loop": {"epochs": 40, "batch_size": 16},
            "optimization": {"learning_rate": 3e-3},
            "augment": {"min_crop": 0.9},
        },
    }


def write_clips(folder: Path, exchanged: int | None = None) -> list[str]:
    """A store in which sitting down and standing up of one person are exchanged; their ids."""
    other = {"sit down": "stand up", "stand up": "sit down", "clap": "clap"}
    clips = list(generate(24, 0, CLASSES))
    wrong = [clip.clip_id for clip in clips if clip.subject == exchanged and clip.label != "clap"]
    named = (replace(c, label=other[c.label or ""]) if c.clip_id in wrong else c for c in clips)
    write_store(folder / "store", named, name="s", classes=CLASSES, layout=NTU25, source="test")
    return sorted(wrong)
