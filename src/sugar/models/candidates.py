"""The candidates of a recognition: names, and what is known of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import device as Device

from sugar.knowledge.bank import TextBank, build_bank
from sugar.knowledge.embed import EmbeddingCache, TextEncoder, TextEncoderConfig, load_text_encoder
from sugar.knowledge.pack import KnowledgePack
from sugar.models.heads.motion import UnseenMotion


@dataclass(frozen=True, eq=False)
class Candidates:
    """Names to choose from with their texts.

    Args:
        texts: knowledge texts; of a class of which nothing is known, its name.
        motion: motion sentences; None where a candidate has none.
        unseen: scores the motion of names that were never trained; None where all were, or without ``motion``.
    """

    texts: TextBank
    motion: TextBank | None
    unseen: UnseenMotion | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return self.texts.names

    def __len__(self) -> int:
        return len(self.names)

    def to(self, device: Device) -> "Candidates":
        return Candidates(self.texts.to(device), None if self.motion is None else self.motion.to(device), self.unseen)


def subset(trained: Candidates, names: Sequence[str]) -> Candidates:
    """Some of the training classes."""
    return Candidates(trained.texts.subset(names), None if trained.motion is None else trained.motion.subset(names))


def open_vocabulary(
    trained: Candidates,
    names: Sequence[str],
    pack: KnowledgePack | None,
    config: TextEncoderConfig,
    motion_encoder: TextEncoder | None = None,
) -> Candidates:
    """Any names: training classes keep their texts, others take theirs from ``pack`` or are embedded by name.

    Args:
        motion_encoder: of motion sentences, where it is not the text encoder.
    """
    encoder, cache = load_text_encoder(config), EmbeddingCache()
    kinds = [kind for kind in ("motion", "visual") if kind in trained.texts.kinds]
    texts = build_bank(pack, names, encoder, kinds or ("name",), cache)
    known = [name for name in names if name in trained.names]
    texts = texts.replaced_by(trained.texts.subset(known)) if known else texts
    if trained.motion is None or not all(
        name in known or (pack is not None and name in pack and pack[name].motion_sentences) for name in names
    ):
        return Candidates(texts, None)
    if motion_encoder is None:
        motion = build_bank(pack, names, encoder, ("motion_sentence",), cache)
    else:
        motion = build_bank(pack, names, motion_encoder, ("motion_sentence",))
    return Candidates(texts, motion.replaced_by(trained.motion.subset(known)) if known else motion)
