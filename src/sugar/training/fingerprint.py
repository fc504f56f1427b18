"""Fingerprints of a run's settings and inputs, so that a resume notices what changed.

A config names files, packs and protocols; their content may change while the name stays. So a fingerprint holds the
settings as they are and of every input a hash, each by what messages call it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sugar.config import as_plain, differences, parse_config, read_yaml
from sugar.datasets.protocols.protocols import Split
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.knowledge.bank import TextBank
from sugar.knowledge.pack import ClassKnowledge, KnowledgePack, load_pack
from sugar.training.config import RunConfig, TextOnlyConfig


@dataclass(frozen=True)
class Fingerprint:
    """What must be the same for a training to go on.

    Args:
        settings: nested, JSON-able.
        inputs: hashes of what was read besides, by what messages call it.
    """

    settings: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: tuples are lists."""
        plain: dict[str, Any] = json.loads(json.dumps({"settings": self.settings, "inputs": self.inputs}))
        return plain

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Fingerprint":
        """From `to_dict`."""
        return cls(content["settings"], content["inputs"])

    def changes(self, now: "Fingerprint") -> list[str]:
        """Each setting that differs ``now``, with both values, and each input that changed; one phrase each."""
        before, after = (mark.to_dict()["settings"] for mark in (self, now))
        changed = [f"{key} was {old!r}, is {new!r}" for key, (old, new) in differences(before, after).items()]
        names = sorted(self.inputs.keys() | now.inputs.keys())
        return changed + [f"the {name} changed" for name in names if self.inputs.get(name) != now.inputs.get(name)]


def check_out(config: RunConfig, out: Path, resume: bool) -> None:
    """Check that the folder ``out`` is new or holds a run of this config.

    Raises:
        InputError: it is there and ``resume`` is off, or it is of another config.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not resume:
        raise InputError(f"{out}: exists; continue that run with --resume or give another --out")
    saved, _ = parse_config(RunConfig, read_yaml(out / "config.yaml"), where=str(out / "config.yaml"))
    if changed := Fingerprint(as_plain(saved)).changes(Fingerprint(as_plain(config))):
        raise InputError(
            f"{out}: was started with other settings ({changed[0]}); resume with the same config, or use another --out"
        )


def check_resume(path: Path, saved: Fingerprint, now: Fingerprint) -> None:
    """Check that the checkpoint at ``path`` belongs to this training.

    Raises:
        InputError: names each setting that changed, with both values, and each input.
    """
    if changed := saved.changes(now):
        raise InputError(f"{path}: cannot resume with other settings ({'; '.join(changed)}): undo or use another --out")


def hash_of(content: Any) -> str:
    """Sixteen hexadecimal digits of anything JSON-able."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def hash_of_clips(store: Store, split: Split) -> str:
    """Of the clips that train and those that validate, each with its label."""
    ids, classes, labels = store.clip_ids, store.classes, store.labels
    return hash_of([[[ids[i], classes[labels[i]]] for i in side.tolist()] for side in (split.train, split.validation)])


def hash_of_bank(bank: TextBank) -> str:
    """Of classes, kinds and words of a bank."""
    return hash_of([bank.names, bank.classes.tolist(), bank.kinds, bank.texts])


def hash_of_text_only(
    config: TextOnlyConfig, pack: KnowledgePack, classes: Sequence[str], unseen: Sequence[str]
) -> str | None:
    """Of what text-only training may draw from; None without it."""
    if max(config.share, config.nonsense) == 0:
        return None
    own = [pack[name] for name in (*classes, *unseen) if name in pack]
    others = [entry for name in (*config.packs, *config.exclude) for entry in load_pack(name).classes]
    return _hash_of_entries([*own, *others])


def _hash_of_entries(entries: Iterable[ClassKnowledge]) -> str:
    return hash_of([[e.name, e.motion, e.visual, e.descriptions, e.motion_sentences] for e in entries])
