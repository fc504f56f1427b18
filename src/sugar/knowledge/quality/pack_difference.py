"""What changed between two knowledge packs: classes, texts, and how the classes lie to each other."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from sugar.knowledge.bank import build_bank
from sugar.knowledge.cache import EmbeddingCache
from sugar.knowledge.embed import TextEncoder
from sugar.knowledge.pack import ClassKnowledge, KnowledgePack
from sugar.knowledge.quality.figures import KINDS, class_means, texts_of

# Two texts as alike as this are one that was reworded (share of equal characters, difflib's ratio).
REWORDED = 0.6


@dataclass(frozen=True)
class Rewording:
    """A text that was changed, and how much of it is as before (0 to 1)."""

    before: str
    after: str
    ratio: float


@dataclass(frozen=True)
class TextsDifference:
    """What happened to the texts of one kind of a class; ``same`` counts those that are as before."""

    same: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Rewording, ...]

    @property
    def any(self) -> bool:
        """Whether anything happened."""
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True)
class ClassDifference:
    """What happened to a class that both packs have: by kind of text, and the cosine of its mean before and after."""

    name: str
    kinds: Mapping[str, TextsDifference]
    cosine: float | None

    @property
    def any(self) -> bool:
        """Whether any text changed."""
        return any(kind.any for kind in self.kinds.values())


@dataclass(frozen=True)
class PairShift:
    """Cosine of two classes before and after."""

    first: str
    second: str
    before: float
    after: float


@dataclass(frozen=True)
class PackDifference:
    """From pack ``a`` to pack ``b``, each "name version".

    ``classes`` are those of both, in the order of a; ``pairs`` those whose similarity changed most; ``nearest`` is
    the mean over these classes of the cosine to the nearest other, before and after (None without an encoder).
    """

    a: str
    b: str
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    classes: tuple[ClassDifference, ...]
    pairs: tuple[PairShift, ...]
    nearest: tuple[float, float] | None

    @property
    def counts(self) -> dict[str, int]:
        """How many classes there are of each sort, and how many of their texts are the same, added, ..."""
        kinds = [kind for each in self.classes for kind in each.kinds.values()]
        return {
            "classes_only_a": len(self.only_a),
            "classes_only_b": len(self.only_b),
            "classes_same": sum(not each.any for each in self.classes),
            "classes_changed": sum(each.any for each in self.classes),
            "texts_same": sum(kind.same for kind in kinds),
            "texts_added": sum(len(kind.added) for kind in kinds),
            "texts_removed": sum(len(kind.removed) for kind in kinds),
            "texts_changed": sum(len(kind.changed) for kind in kinds),
        }

    @property
    def any(self) -> bool:
        """Whether the packs differ in any class or text."""
        return bool(self.only_a or self.only_b or any(each.any for each in self.classes))

    def to_json(self) -> dict[str, Any]:
        """Everything as plain mappings, lists and numbers, the counts among them."""
        return {"counts": self.counts, **asdict(self)}

    def lines(self) -> Iterator[str]:
        """The difference in words for a terminal; control characters of the texts are replaced."""
        return (_printable(line) for line in _lines(self))


def difference(
    a: KnowledgePack,
    b: KnowledgePack,
    encoder: TextEncoder | None = None,
    cache: EmbeddingCache | None = None,
    *,
    pairs: int = 10,
) -> PackDifference:
    """What changed from ``a`` to ``b``; with ``encoder`` also how far each class moved and the ``pairs`` that did most.

    A text that is gone and a new one of the same kind are one reworded text where they are alike (difflib, 0.6).
    """
    common = tuple(name for name in a.names if name in b)
    means = _means(a, b, common, encoder, cache) if encoder is not None and common else None
    moved = dict(zip(common, _row_cosines(*means), strict=True)) if means is not None else {}
    return PackDifference(
        a=f"{a.name} {a.version}",
        b=f"{b.name} {b.version}",
        only_a=tuple(name for name in a.names if name not in b),
        only_b=tuple(name for name in b.names if name not in a),
        classes=tuple(ClassDifference(name, _kinds(a[name], b[name]), moved.get(name)) for name in common),
        pairs=_shifts(common, *means, pairs) if means is not None else (),
        nearest=_nearest(*means) if means is not None else None,
    )


def _kinds(a: ClassKnowledge, b: ClassKnowledge) -> dict[str, TextsDifference]:
    before, after = texts_of(a), texts_of(b)
    return {kind: compare_texts(before[kind], after[kind], opening=kind == "motion") for kind in before}


def compare_texts(before: Sequence[str], after: Sequence[str], *, opening: bool = False) -> TextsDifference:
    """Match two lists of texts: equal ones first, then the most alike; the order of texts does not count.

    ``opening``: texts open with the name of their class and a colon, which does not make them alike.
    """

    def said(text: str) -> str:
        return text.partition(":")[2] or text if opening else text

    same = Counter(before) & Counter(after)
    removed = list((Counter(before) - same).elements())
    added = list((Counter(after) - same).elements())
    ratios = sorted(
        (
            (SequenceMatcher(None, said(old), said(new), autojunk=False).ratio(), i, j)
            for i, old in enumerate(removed)
            for j, new in enumerate(added)
        ),
        key=lambda found: (-found[0], *found[1:]),
    )
    matched: dict[int, tuple[int, float]] = {}
    for ratio, i, j in ratios:
        if ratio >= REWORDED and i not in matched and j not in {taken for taken, _ in matched.values()}:
            matched[i] = (j, ratio)
    taken = {j for j, _ in matched.values()}
    return TextsDifference(
        same=same.total(),
        added=tuple(text for j, text in enumerate(added) if j not in taken),
        removed=tuple(text for i, text in enumerate(removed) if i not in matched),
        changed=tuple(Rewording(removed[i], added[j], round(ratio, 4)) for i, (j, ratio) in sorted(matched.items())),
    )


# Embeddings ----------------------------------------------------------------------------------------------------------


def _means(
    a: KnowledgePack, b: KnowledgePack, names: Sequence[str], encoder: TextEncoder, cache: EmbeddingCache | None
) -> tuple[Tensor, Tensor]:
    """Class means ``[C, d]`` before and after; a class without texts is represented by its name, as in training."""
    banks = [build_bank(pack, names, encoder, KINDS, cache) for pack in (a, b)]
    before, after = (class_means(bank.embeddings, bank.classes, len(names)) for bank in banks)
    return before, after


def _row_cosines(before: Tensor, after: Tensor) -> list[float]:
    return [round(value, 4) for value in (before * after).sum(-1).clamp(-1, 1).tolist()]


def _shifts(names: Sequence[str], before: Tensor, after: Tensor, top: int) -> tuple[PairShift, ...]:
    old, new = ((means @ means.T).clamp(-1, 1).tolist() for means in (before, after))
    shifts = [
        PairShift(names[i], names[j], round(old[i][j], 4), round(new[i][j], 4))
        for i, j in combinations(range(len(names)), 2)
    ]
    shifts = [shift for shift in shifts if shift.before != shift.after]
    return tuple(sorted(shifts, key=lambda shift: -abs(shift.after - shift.before))[:top])


def _nearest(before: Tensor, after: Tensor) -> tuple[float, float] | None:
    if len(before) < 2:
        return None
    own = torch.eye(len(before), dtype=torch.bool)
    old, new = (float((means @ means.T).masked_fill(own, -torch.inf).amax(1).mean()) for means in (before, after))
    return round(old, 4), round(new, 4)


# Words ---------------------------------------------------------------------------------------------------------------


def _lines(found: PackDifference) -> Iterator[str]:
    counts = found.counts
    yield f"{found.a} -> {found.b}"
    yield (
        f"classes: {counts['classes_same']} the same, {counts['classes_changed']} changed, "
        f"{len(found.only_a)} only in the first, {len(found.only_b)} only in the second"
    )
    yield (
        f"texts of the common classes: {counts['texts_same']} the same, {counts['texts_changed']} reworded, "
        f"{counts['texts_added']} added, {counts['texts_removed']} removed"
    )
    if found.nearest is not None:
        before, after = found.nearest
        yield f"mean cosine of a class to its nearest: {before:.3f} -> {after:.3f}"
    yield from (f"- class {name}" for name in found.only_a)
    yield from (f"+ class {name}" for name in found.only_b)
    for each in found.classes:
        if each.any:
            yield from _class_lines(each)
    if found.pairs:
        yield "pairs whose similarity changed most:"
        yield from (f"  {p.before:.3f} -> {p.after:.3f}  {p.first} | {p.second}" for p in found.pairs)


def _class_lines(each: ClassDifference) -> Iterator[str]:
    yield each.name if each.cosine is None else f"{each.name} (cosine of before and after {each.cosine:.3f})"
    for kind, texts in each.kinds.items():
        for rewording in texts.changed:
            yield f"  {kind}: - {rewording.before}"
            yield f"  {' ' * len(kind)}  + {rewording.after}"
        yield from (f"  {kind}: - {text}" for text in texts.removed)
        yield from (f"  {kind}: + {text}" for text in texts.added)


def _printable(line: str) -> str:
    """The line without characters that steer a terminal or turn the direction of what follows."""
    turns = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    return "".join(
        "\ufffd" if unicodedata.category(c) == "Cc" or unicodedata.bidirectional(c) in turns else c for c in line
    )
