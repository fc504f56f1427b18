"""Which of all true claims are told: the few that say most about a clip."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sugar.facts.claims import Claim
from sugar.facts.grammar import all_claims, say

MOST = 5
_CLAIMS = all_claims()
# Speed is hardly ever beyond doubt, and that a limb moves follows from whatever else is said of it.
TAKES_TWO = np.array([claim.person == 1 or claim.subject == "people" for claim in _CLAIMS])
"""``[C]`` bool: claims that only make sense of two people."""
_IDLE = {("rises to", "floor"), ("repeats", "1")}
_NEVER, _LAST = frozenset({"speed"}), frozenset({"moves"})
_ORDER = ("people", "body", "knees", "both hands", "right hand", "left hand", "right foot", "left foot")


def select_claims(
    values: npt.NDArray[np.number], rates: npt.NDArray[np.floating], *, threshold: float = 0.8, most: int = MOST
) -> tuple[Claim, ...]:
    """The rarest claims that hold, at most one of a kind for each subject.

    Args:
        values: ``[C]`` how sure each of `grammar.all_claims` is: 0 to 1, negative where it cannot be told.
        rates: ``[C]`` share of the training clips for which it is true: the rarer, the more it says.
        threshold: least value of a claim that is told.
    """
    holding = np.flatnonzero(values > threshold)
    order = sorted(holding, key=lambda i: (_CLAIMS[i].predicate in _LAST, rates[i], -values[i]))
    chosen: list[Claim] = []
    for i in order:
        claim = _CLAIMS[i]
        told = claim.predicate not in _NEVER and (claim.predicate, claim.value) not in _IDLE
        if told and not any(_says(other, claim) for other in chosen) and len(chosen) < most:
            chosen.append(claim)
    return tuple(sorted(chosen, key=lambda c: (c.person, _ORDER.index(c.subject))))


def _says(told: Claim, claim: Claim) -> bool:
    """Whether ``claim`` would repeat ``told``, add a second value to it, or say that what moves is still."""
    alike = (
        told.predicate == claim.predicate or claim.predicate in _LAST or "still" in (told.predicate, claim.predicate)
    )
    if told.person != claim.person or not alike:
        return False
    hands = {told.subject, claim.subject}
    return told.subject == claim.subject or (
        "both hands" in hands and hands <= {"both hands", "left hand", "right hand"}
    )


def tell(values: npt.NDArray[np.number], rates: npt.NDArray[np.floating], *, threshold: float = 0.8) -> str:
    """`select_claims` in words; empty where nothing is sure."""
    return " ".join(say(select_claims(values, rates, threshold=threshold)))


def verbalize_all(
    values: npt.NDArray[np.number], rates: npt.NDArray[np.floating], *, threshold: float = 0.8
) -> Sequence[str]:
    """`tell` for every row of ``[N, C]``."""
    return [tell(row, rates, threshold=threshold) for row in values]
