"""What recognition finds in a clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from sugar.facts.description_check import CheckedClaim, check_claims
from sugar.facts.measure import measure
from sugar.knowledge.fact_captions import fact_caption
from sugar.skeleton.clip import SkeletonClip


@dataclass(frozen=True)
class Recognition:
    """What was recognized in one clip."""

    clip_id: str
    label: str
    """The most probable candidate by the last scorer of `scores`: `fused` where it exists."""
    top: list[tuple[str, float]]
    """Candidates with their probabilities, the best first."""
    scores: dict[str, dict[str, float]]
    """Each scorer's probabilities by candidate."""
    description: str
    """What the LLM says of the clip; empty without an LLM."""
    measured: str
    """What the joints say of the clip, in the fixed vocabulary."""
    claims: list[CheckedClaim]
    """The checkable claims of the description, and whether the joints bear them out."""

    @classmethod
    def of(
        cls, clip: SkeletonClip, names: Sequence[str], probabilities: Mapping[str, Tensor], description: str
    ) -> "Recognition":
        """What scorers and LLM say of one clip, with its own facts beside it.

        Args:
            probabilities: ``[K]`` of the ``names`` by scorer, `fused` among them.
        """
        facts = measure(clip)
        scores = {scorer: dict(zip(names, table.tolist(), strict=True)) for scorer, table in probabilities.items()}
        ranked = sorted(scores["fused"].items(), key=lambda pair: -pair[1])
        claims = check_claims(description, facts)
        best = names[int(probabilities["fused"].argmax())]
        return cls(clip.clip_id, best, ranked, scores, description, fact_caption(facts), claims)
