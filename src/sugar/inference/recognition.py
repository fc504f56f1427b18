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
    """The recognition of one clip."""

    clip_id: str
    label: str
    """The most probable candidate."""
    probabilities: dict[str, float]
    """Probability of each candidate, the most probable first, by the last scorer of `scores` (`fused` if there)."""
    scores: dict[str, dict[str, float]]
    """Each scorer's probabilities by candidate."""
    description: str
    """The LLM's description of the clip; empty without an LLM."""
    facts: str
    """What the joints show, in the fixed vocabulary."""
    claims: list[CheckedClaim]
    """The checkable claims of the description, and whether the joints confirm them."""

    @classmethod
    def from_scores(
        cls, clip: SkeletonClip, names: Sequence[str], probabilities: Mapping[str, Tensor], description: str
    ) -> "Recognition":
        """From scorers and LLM, with the facts measured from the clip.

        Args:
            probabilities: ``[K]`` of the ``names`` by scorer; the last decides.
        """
        facts = measure(clip)
        scores = {scorer: dict(zip(names, table.tolist(), strict=True)) for scorer, table in probabilities.items()}
        main = list(scores)[-1]
        ranked = dict(sorted(scores[main].items(), key=lambda pair: -pair[1]))
        label = names[int(probabilities[main].argmax())]
        claims = check_claims(description, facts)
        return cls(clip.clip_id, label, ranked, scores, description, fact_caption(facts), claims)
