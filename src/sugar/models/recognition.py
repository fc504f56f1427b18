"""What recognition finds in a clip."""

from dataclasses import dataclass

from sugar.knowledge.facts.faithfulness import CheckedClaim


@dataclass(frozen=True)
class Recognition:
    """What was recognised in one clip."""

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
