"""What the joints say of each clip, in words: the clip's fact captions (docs/design.md, section 3, point 2).

A clip's facts (`kinematics`) are said in the fixed vocabulary (`grammar`), for the clip as it is and for its
mirror image, in a few phrasings each. Stage 1 takes their embeddings as positives, stage 2 takes the texts as what
the LLM learns to say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sugar.facts.grammar import all_claims, of_two, say
from sugar.facts.measure import MotionFacts, measure
from sugar.knowledge.cache import EmbeddingCache
from sugar.knowledge.claim_degrees import measured_claims
from sugar.knowledge.claim_space import ClaimEncoder
from sugar.knowledge.embed import TextEncoder, embed_texts
from sugar.skeleton.clip import SkeletonClip

_TRUTH = {True: 1, False: 0, None: -1}
MOST, MOST_OF_TWO = 6, 8
"""Claims that a text makes of one person and of two: the most salient; longer texts are neither read nor learned."""
NOTHING = "The person stays still."


def fact_caption(facts: MotionFacts, rng: np.random.Generator | None = None) -> str:
    """What is most worth saying of a clip, as one text; the canonical phrasing without ``rng``."""
    claims = facts.claims()
    return " ".join(say(claims[: MOST_OF_TWO if of_two(claims) else MOST], rng)) or NOTHING


@dataclass(frozen=True, eq=False)
class FactCaptions:
    """The own texts of N clips and their embeddings.

    Args:
        texts: the U different texts.
        embeddings: ``[U, e]`` unit vectors.
        rows: ``[N, 2, variants]`` indices into ``texts``: of the clip as it is and of its mirror image.
        truth: ``[N, 2, C]`` int8, of each of `grammar.all_claims`: 1 true, 0 false, -1 cannot be told.
        measured: ``[N, 2, C']`` `claim_degrees.measured_claims` of the clips as they are.
        positions: position in the store to row of ``rows``, ``truth`` and ``measured``.
        encoder: what made the embeddings.
    """

    texts: tuple[str, ...]
    embeddings: Tensor
    rows: Tensor
    truth: Tensor
    measured: Tensor
    positions: dict[int, int]
    encoder: TextEncoder

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

    def measurements(self, indices: Sequence[int]) -> Tensor:
        """``[B, 2, C']`` of ``measured``."""
        return self.measured[torch.tensor([self.positions[int(i)] for i in indices])]


def build_fact_captions(
    clips: Iterable[tuple[int, SkeletonClip]],
    encoder: TextEncoder | None,
    *,
    variants: int = 1,
    seed: int = 0,
    cache: EmbeddingCache | None = None,
) -> FactCaptions:
    """Measure, say and embed.

    Args:
        clips: position in the store and clip.
        encoder: None: a `ClaimEncoder` fitted to what is said.
        variants: phrasings of each clip; the first is the canonical one.
    """
    number: dict[str, int] = {}
    rows: list[list[list[int]]] = []
    truth: list[list[list[int]]] = []
    measured: list[Tensor] = []
    positions: dict[int, int] = {}
    claims = all_claims()
    for position, clip in clips:
        facts = measure(clip)
        rng = np.random.default_rng([seed, position])
        sides = (facts, facts.mirrored())
        said = [[fact_caption(side, rng if variant else None) for variant in range(variants)] for side in sides]
        positions[position] = len(rows)
        truth.append([[_TRUTH[side.check(claim)] for claim in claims] for side in sides])
        rows.append([[number.setdefault(text, len(number)) for text in side] for side in said])
        measured.append(measured_claims(facts))
    texts = tuple(number)
    encoder = ClaimEncoder.fit(texts) if encoder is None else encoder
    return FactCaptions(
        texts,
        embed_texts(texts, encoder, None if isinstance(encoder, ClaimEncoder) else cache),
        torch.tensor(rows),
        torch.tensor(truth, dtype=torch.int8),
        torch.stack(measured),
        positions,
        encoder,
    )


def measure_clips(clips: Iterable[SkeletonClip]) -> Tensor:
    """``[B, 2, C']`` `claim_degrees.measured_claims` of clips, for recognition."""
    return torch.stack([measured_claims(measure(clip)) for clip in clips])
