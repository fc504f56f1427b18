"""Which clips do the opposite of what their class says: most likely two labels were mixed up.

Asked is the one thing that joints hardly mistake, whether the body rises (stands up) or sinks (sits, squats, kneels or
lies down). A clip that rises although every motion sentence of its class has the body sink, or the other way round, is
contradicted; classes that do both, or neither, contradict nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sugar.datasets.diagnostics.finding import Finding
from sugar.facts.claims import VALUES, Claim
from sugar.facts.grammar import of_two, parse
from sugar.facts.measure import measure
from sugar.skeleton.clip import SkeletonClip

RISES, SINKS, UNKNOWN = 1, -1, 0
_CHANGES = tuple(Claim("body", "becomes", posture) for posture in VALUES["becomes"])


def way_of_class(motion_sentences: Sequence[str]) -> int:
    """`RISES`, `SINKS` or `UNKNOWN`, by the postures that its sentences say the body comes to."""
    claims = [claim for sentence in motion_sentences for claim in parse(sentence)]
    return UNKNOWN if of_two(claims) else _way(claim for claim in claims if claim.predicate == "becomes")


def label_findings(clips: Iterable[SkeletonClip], motion_sentences: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """The contradicted clips; classes without ``motion_sentences`` are skipped."""
    of_class = {name: way_of_class(sentences) for name, sentences in motion_sentences.items()}
    says = {RISES: "rises", SINKS: "sinks"}
    for clip in clips:
        if not (asked := of_class.get(clip.label or "", UNKNOWN)):
            continue
        facts = measure(clip)
        if _way(claim for claim in _CHANGES if facts.check(claim)) == -asked:
            yield Finding(
                f"clip {clip.clip_id!r}",
                f"its body {says[-asked]}, while in every motion sentence of {clip.label!r} it {says[asked]}",
                "look at it (`sugar data show`) and fix its label, or train without it (--data.exclude)",
            )


def _way(changes: Iterable[Claim]) -> int:
    came_to = {claim.value for claim in changes}
    if not came_to or (len(came_to) > 1 and "standing" in came_to):
        return UNKNOWN
    return RISES if came_to == {"standing"} else SINKS
