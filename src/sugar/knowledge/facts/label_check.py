"""Which clips do the opposite of what their class says: most likely two labels were mixed up.

Asked is the one thing that joints hardly mistake, whether the body rises (stands up) or sinks (sits, squats, kneels or
lies down). A clip that rises although every motion sentence of its class has the body sink, or the other way round, is
contradicted; classes that do both, or neither, contradict nothing.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from sugar.datasets.examine import Finding
from sugar.knowledge.facts.grammar import all_claims, of_two, parse
from sugar.knowledge.facts.kinematics import measure
from sugar.knowledge.pack import KnowledgePack
from sugar.skeleton.claims import VALUES, Claim
from sugar.skeleton.clip import SkeletonClip

RISES, SINKS, UNKNOWN = 1, -1, 0
_CHANGES = tuple(Claim("body", "becomes", posture) for posture in VALUES["becomes"])


def way_of_class(motion_sentences: Sequence[str]) -> int:
    """`RISES`, `SINKS` or `UNKNOWN`, by the postures that its sentences say the body comes to."""
    claims = [claim for sentence in motion_sentences for claim in parse(sentence)]
    return UNKNOWN if of_two(claims) else _way(claim for claim in claims if claim.predicate == "becomes")


def contradicted(truth: Tensor, labels: Tensor, motion_sentences: Sequence[Sequence[str]]) -> Tensor:
    """``[N]`` bool: the clips whose joints show the opposite of their class.

    Args:
        truth: ``[N, C]`` as `OwnSentences.truth` has it of the clips as they are.
        labels: ``[N]`` indices into ``motion_sentences``.
    """
    claims = all_claims()
    columns = [claims.index(claim) for claim in _CHANGES]
    borne_out = (truth[:, columns] == 1).tolist()
    of_clip = [_way(claim for claim, holds in zip(_CHANGES, row, strict=True) if holds) for row in borne_out]
    of_class = torch.tensor([way_of_class(sentences) for sentences in motion_sentences])
    return of_class[labels] * torch.tensor(of_clip) == RISES * SINKS


def label_findings(clips: Iterable[SkeletonClip], pack: KnowledgePack) -> Iterator[Finding]:
    """The contradicted clips; classes that the pack has not are passed over."""
    of_class = {entry.name: way_of_class(entry.motion_sentences) for entry in pack.classes}
    says = {RISES: "rises", SINKS: "sinks"}
    for clip in clips:
        if not (asked := of_class.get(clip.label or "", UNKNOWN)):
            continue
        facts = measure(clip)
        if _way(claim for claim in _CHANGES if facts.check(claim)) == -asked:
            yield Finding(
                f"clip {clip.clip_id!r}",
                f"its body {says[-asked]}, while in every motion sentence of {clip.label!r} it {says[asked]}",
                "look at it (`sugar data show`) and mend its label, or train with --data.contradicted leave_out",
            )


def _way(changes: Iterable[Claim]) -> int:
    came_to = {claim.value for claim in changes}
    if not came_to or (len(came_to) > 1 and "standing" in came_to):
        return UNKNOWN
    return RISES if came_to == {"standing"} else SINKS
