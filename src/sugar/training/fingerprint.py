"""Digests of what a run reads besides its config: a name or path may come to stand for something else meanwhile."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from sugar.datasets.protocols.protocols import Split
from sugar.datasets.store.store import Store
from sugar.knowledge.bank import TextBank
from sugar.knowledge.pack import ClassKnowledge, KnowledgePack, load_pack
from sugar.training.config import TextOnlyConfig


def digest(content: Any) -> str:
    """Sixteen hexadecimal digits of anything that JSON can say."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def of_sides(store: Store, sides: Split) -> str:
    """Which clips train and which validate, each with its label."""
    ids, classes, labels = store.clip_ids, store.classes, store.labels
    return digest([[[ids[i], classes[labels[i]]] for i in side.tolist()] for side in (sides.train, sides.validation)])


def of_bank(bank: TextBank) -> str:
    """Classes, kinds and words of a bank."""
    return digest([bank.names, bank.classes.tolist(), bank.kinds, bank.texts])


def of_entries(entries: Iterable[ClassKnowledge]) -> str:
    """All that packs say of some classes."""
    return digest([[e.name, e.motion, e.visual, e.descriptions, e.motion_sentences] for e in entries])


def of_text_only(
    config: TextOnlyConfig, pack: KnowledgePack, classes: Sequence[str], unseen: Sequence[str]
) -> str | None:
    """What text-only training may draw from; None without it."""
    if max(config.share, config.nonsense) == 0:
        return None
    own = [pack[name] for name in (*classes, *unseen) if name in pack]
    others = [entry for name in (*config.packs, *config.exclude) for entry in load_pack(name).classes]
    return of_entries([*own, *others])
