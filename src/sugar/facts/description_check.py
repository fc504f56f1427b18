"""Is a description true of its clip? Its claims are read by the grammar and held against the joints."""

from collections.abc import Iterable
from dataclasses import dataclass

from sugar.facts.grammar import of_two, parse, say
from sugar.facts.measure import MotionFacts


@dataclass(frozen=True)
class CheckedClaim:
    """One claim of a text, and whether the joints bear it out; None where they cannot tell."""

    text: str
    holds: bool | None


def check_claims(text: str, facts: MotionFacts) -> list[CheckedClaim]:
    """Every checkable claim of a text, in its order; free words that claim nothing measurable give none."""
    claims = parse(text)
    two = of_two(claims)
    return [CheckedClaim(" ".join(say([claim], two_people=two)), facts.check(claim)) for claim in claims]


def faithfulness(claims: Iterable[CheckedClaim]) -> float | None:
    """Share of the decided claims that hold; None where none is decided."""
    decided = [claim.holds for claim in claims if claim.holds is not None]
    return sum(decided) / len(decided) if decided else None
