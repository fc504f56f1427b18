"""Confusable classes of a pack asked about again: "how does X differ from Y in motion?".

Imports pydantic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sugar.authoring.client.desk import Runner, Told, ask_each
from sugar.authoring.client.limits import RunningConfig
from sugar.authoring.client.providers import ProviderConfig
from sugar.authoring.config import ContrastTexts
from sugar.authoring.tasks.contrast import (
    ConfusablePair,
    ContrastAnswer,
    confusable_by_report,
    confusable_by_similarity,
    contrast_request,
    contrasted,
)
from sugar.knowledge.embed import EmbeddingCache, TextEncoder
from sugar.knowledge.pack import KnowledgePack
from sugar.knowledge.quality.figures import ALL, measure_quality


@dataclass
class ContrastConfig:
    """`sugar knowledge contrast PACK --out FILE`."""

    provider: ProviderConfig = field(default_factory=ProviderConfig)
    """Which model is asked."""
    running: RunningConfig = field(default_factory=RunningConfig)
    """How it is asked: concurrency, retries, cost."""
    contrast: ContrastTexts = field(default_factory=lambda: ContrastTexts(pairs=10))
    """Which pairs of classes."""


def confusable_pairs(pack: KnowledgePack, config: ContrastTexts, encoder: TextEncoder) -> list[ConfusablePair]:
    """The pairs of classes that ``config`` means, the worst first.

    Raises:
        InputError: a report that is none.
    """
    if config.report:
        pairs = confusable_by_report(Path(config.report), count=config.pairs, threshold=config.above)
        return [pair for pair in pairs if pair.first in pack and pair.second in pack]
    quality = measure_quality(pack, encoder, EmbeddingCache())
    similarity = np.array(quality.similarity[ALL], dtype=np.float64)  # None becomes NaN, which is never close
    return confusable_by_similarity(similarity, pack.names, count=config.pairs, threshold=config.above)


def contrast_pack(
    pack: KnowledgePack, pairs: Sequence[ConfusablePair], desk: Runner
) -> tuple[KnowledgePack, dict[str, Told]]:
    """The pack with new texts of the classes in ``pairs``, and the answer that each class has its new texts from.

    A class of several pairs takes the texts of the first, and those of the others beside them.

    Raises:
        InputError: a text cannot be sent, or the server cannot be worked with.
    """
    requests = [contrast_request(pack[pair.first], pack[pair.second]) for pair in pairs]
    told = {answer.item: answer for answer in ask_each(desk, requests)}
    entries = {entry.name: entry for entry in pack.classes}
    origins: dict[str, Told] = {}
    for pair, request in zip(pairs, requests, strict=True):
        if request.item not in told:
            continue
        answer = ContrastAnswer.model_validate(told[request.item].answer)
        for name, new in ((pair.first, answer.first), (pair.second, answer.second)):
            entries[name] = contrasted(entries[name], new, add=name in origins)
            origins.setdefault(name, told[request.item])
    return replace(pack, classes=tuple(entries[name] for name in pack.names)), origins
