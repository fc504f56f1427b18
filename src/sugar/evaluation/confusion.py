"""Which classes are taken for which, and what their texts have in common and apart."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sugar.facts.grammar import of_two, parse, say
from sugar.knowledge.pack import ClassKnowledge, KnowledgePack
from sugar.knowledge.quality.checks import split_words

NUM_WORST_PAIRS = 10
NUM_SHOWN = 6
"""Claims and words named of each pair, at most."""
COMMON = math.log(2)
"""A word that more than half of the classes use tells nothing."""


@dataclass(frozen=True, eq=False)
class ClassTexts:
    """What is said of each class, to explain confusions by.

    Args:
        claims: by class, the claims of its motion sentences in words, the most frequent first.
        words: by class, how many of its texts hold each word.
        rarity: log of (classes over classes that use the word).
        similarity: ``[K, K]`` cosine of the classes' texts, by kind of text.
    """

    claims: Mapping[str, Sequence[str]]
    words: Mapping[str, Mapping[str, int]]
    rarity: Mapping[str, float]
    similarity: Mapping[str, npt.NDArray[np.floating]] = field(default_factory=dict)


def class_texts(
    pack: KnowledgePack, names: Sequence[str], similarity: Mapping[str, npt.NDArray[np.floating]] | None = None
) -> ClassTexts:
    """The texts that ``pack`` has of the named classes; those that it lacks have none."""
    entries = [pack[name] for name in names if name in pack]
    words = {entry.name: _words(entry) for entry in entries}
    spread = Counter(word for counts in words.values() for word in counts)
    return ClassTexts(
        claims={entry.name: _claims(entry) for entry in entries},
        words=words,
        rarity={word: math.log(len(entries) / count) for word, count in spread.items()},
        similarity=similarity or {},
    )


def worst_pairs(
    confusion: npt.NDArray[np.int64], classes: Sequence[str], texts: ClassTexts | None = None
) -> list[dict[str, Any]]:
    """The most frequent confusions, ten at most, with what the texts say of them (``texts`` None where unknown).

    Args:
        confusion: ``[K, K]`` counts, rows true, columns predicted.
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:NUM_WORST_PAIRS]
    pairs = [divmod(int(place), len(classes)) for place in order]
    return [
        {
            "true": classes[i],
            "predicted": classes[j],
            "count": int(wrong[i, j]),
            "of": int(confusion[i].sum()),
            "texts": None if texts is None else explain_pair(texts, classes, i, j),
        }
        for i, j in pairs
        if wrong[i, j]
    ]


def explain_pair(texts: ClassTexts, classes: Sequence[str], true: int, predicted: int) -> dict[str, Any] | None:
    """What the texts of two classes share and what only one of them says; None where either has no texts.

    ``similarity`` holds, by kind of text, the cosine of the two and at which place the predicted class stands among
    the true one's neighbors, 1 the nearest.
    """
    a, b = classes[true], classes[predicted]
    if a not in texts.words or b not in texts.words:
        return None
    ours, theirs = texts.claims[a], texts.claims[b]
    return {
        "shared_claims": _first(claim for claim in ours if claim in theirs),
        "true_claims": _first(claim for claim in ours if claim not in theirs),
        "predicted_claims": _first(claim for claim in theirs if claim not in ours),
        "shared_words": _telling({w: min(n, texts.words[b].get(w, 0)) for w, n in texts.words[a].items()}, texts),
        "true_words": _telling({w: n for w, n in texts.words[a].items() if w not in texts.words[b]}, texts),
        "predicted_words": _telling({w: n for w, n in texts.words[b].items() if w not in texts.words[a]}, texts),
        "similarity": {
            kind: {"cosine": float(table[true, predicted]), "place": _place(table[true], true, predicted)}
            for kind, table in texts.similarity.items()
        },
    }


def _place(row: npt.NDArray[np.floating], true: int, predicted: int) -> int:
    others = np.delete(row, true)
    return 1 + int((others > row[predicted]).sum())


def _first(claims: Iterable[str]) -> list[str]:
    return list(claims)[:NUM_SHOWN]


def _telling(counts: Mapping[str, int], texts: ClassTexts) -> list[str]:
    """Words by how often they are said times how rare they are; what one text says is chance."""
    weights = {w: n * texts.rarity[w] for w, n in counts.items() if n > 1 and texts.rarity[w] >= COMMON}
    return sorted(weights, key=lambda w: (-weights[w], w))[:NUM_SHOWN]


def _claims(entry: ClassKnowledge) -> list[str]:
    counts: Counter[str] = Counter()
    for sentence in entry.motion_sentences:
        claims = parse(sentence)
        two = of_two(claims)
        # Once a sentence, in order: equal counts then keep the order in which things are said.
        counts.update(list(dict.fromkeys(" ".join(say([claim], two_people=two)) for claim in claims)))
    return [claim for claim, _ in counts.most_common()]


def _words(entry: ClassKnowledge) -> Counter[str]:
    """In how many texts each word stands; the name is no explanation of itself."""
    name = set(split_words(entry.name))
    counts: Counter[str] = Counter()
    for text in (*entry.motion, *entry.visual, *entry.descriptions):
        counts.update(set(split_words(text)) - name)
    return counts
