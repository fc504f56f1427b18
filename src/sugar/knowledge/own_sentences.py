"""What the joints say of each clip, in words: the clip's own sentences (DESIGN section 3, point 2).

A clip's facts (`kinematics`) are said in the fixed vocabulary (`grammar`), for the clip as it is and for its
mirror image, in a few phrasings each. Stage 1 takes their embeddings as positives, stage 2 takes the texts as what
the LLM learns to say, and recognition compares them with the motion sentences of the classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sugar.knowledge.cache import EmbeddingCache
from sugar.knowledge.embed import TextEncoder, embed_texts
from sugar.knowledge.grammar import all_claims, of_two, say
from sugar.knowledge.kinematics import MotionFacts, measure
from sugar.skeleton.clip import SkeletonClip

_TRUTH = {True: 1, False: 0, None: -1}
MOST, MOST_OF_TWO = 6, 8
"""Claims that a text makes of one person and of two: the most salient; longer texts are neither read nor learned."""
NOTHING = "The person stays still."


def own_text(facts: MotionFacts, rng: np.random.Generator | None = None) -> str:
    """What is most worth saying of a clip, as one text; the canonical phrasing without ``rng``."""
    claims = facts.claims()
    return " ".join(say(claims[: MOST_OF_TWO if of_two(claims) else MOST], rng)) or NOTHING


@dataclass(frozen=True, eq=False)
class OwnSentences:
    """The own texts of N clips and their embeddings.

    Args:
        texts: the U different texts.
        embeddings: ``[U, e]`` unit vectors.
        rows: ``[N, 2, variants]`` indices into ``texts``: of the clip as it is and of its mirror image.
        truth: ``[N, 2, C]`` int8, of each of `grammar.all_claims`: 1 true, 0 false, -1 cannot be told.
        positions: position in the store to row of ``rows`` and ``truth``.
    """

    texts: tuple[str, ...]
    embeddings: Tensor
    rows: Tensor
    truth: Tensor
    positions: dict[int, int]

    def draw(self, indices: Tensor, mirrored: Tensor, generator: torch.Generator) -> Tensor:
        """One text for each clip of a batch, at random, as indices into ``texts``.

        Args:
            indices: ``[B]`` positions in the store.
            mirrored: ``[B]`` bool, which clips are shown mirrored.
            generator: on the CPU.
        """
        rows = torch.tensor([self.positions[i] for i in indices.tolist()])
        variant = torch.randint(self.rows.shape[2], (len(rows),), generator=generator)
        return self.rows[rows, mirrored.cpu().long(), variant]

    def claims(self, indices: Tensor, mirrored: Tensor) -> Tensor:
        """``[B, C]`` of ``truth`` for a batch of clips, each as it is or mirrored."""
        rows = torch.tensor([self.positions[i] for i in indices.tolist()])
        return self.truth[rows, mirrored.cpu().long()]

    def rates(self) -> Tensor:
        """``[C]`` share of the clips, as they are and mirrored, for which each claim is true."""
        return (self.truth == 1).float().mean(dim=(0, 1))

    def plain(self, indices: Sequence[int]) -> Tensor:
        """``[B, e]`` embeddings of the first phrasing of clips as they are."""
        rows = torch.tensor([self.positions[int(i)] for i in indices])
        return self.embeddings[self.rows[rows, 0, 0]]


def build_own_sentences(
    clips: Iterable[tuple[int, SkeletonClip]],
    encoder: TextEncoder,
    *,
    variants: int = 1,
    mirrored: bool = True,
    seed: int = 0,
    cache: EmbeddingCache | None = None,
) -> OwnSentences:
    """Measure, say and embed.

    Args:
        clips: position in the store and clip.
        variants: phrasings of each clip; the first is the canonical one.
        mirrored: off: for recognition, which needs no mirror images and no truth of claims.
    """
    number: dict[str, int] = {}
    rows: list[list[list[int]]] = []
    truth: list[list[list[int]]] = []
    positions: dict[int, int] = {}
    claims = all_claims() if mirrored else ()
    for position, clip in clips:
        facts = measure(clip)
        rng = np.random.default_rng([seed, position])
        sides = (facts, facts.mirrored()) if mirrored else (facts,)
        said = [[own_text(side, rng if variant else None) for variant in range(variants)] for side in sides]
        positions[position] = len(rows)
        truth.append([[_TRUTH[side.check(claim)] for claim in claims] for side in sides] * (2 // len(sides)))
        rows.append([[number.setdefault(text, len(number)) for text in side] for side in said] * (2 // len(sides)))
    texts = tuple(number)
    return OwnSentences(
        texts,
        embed_texts(texts, encoder, cache),
        torch.tensor(rows),
        torch.tensor(truth, dtype=torch.int8),
        positions,
    )
