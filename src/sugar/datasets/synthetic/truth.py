"""What is true of a synthetic clip, known from the program that made it and not measured from its noisy joints."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sugar.datasets.synthetic.motion import SIDES, Array, Curve, Motion, Side
from sugar.facts.claims import HEIGHTS, Claim, Subject
from sugar.skeleton.layouts import NTU25

# Hands that keep this near to where they were on the trunk are still, body heights.
_STILL = 0.06
# A level is claimed where the hand is so far inside it, body heights: another border in that range is as good.
_MARGIN = 0.02


@dataclass(frozen=True)
class Truth:
    """The facts of one clip; of two people those of the first, who begins, with the second as ``partner``.

    Args:
        hands: the hands that do the action. Others are still where a claim says so, or move along with it,
            as arms swing in walking.
        feet: the feet that do the action.
        side: the acting side; None where both sides act alike.
        repetitions: how often the movement is done; None where there is nothing to count.
        posture_start, posture_end: posture at the ends of the clip.
        claims: what holds by construction, of both people; a clip may bear out more.
        partner: the second person, whose ``claims`` are empty.
    """

    hands: frozenset[Side]
    feet: frozenset[Side]
    side: Side | None
    repetitions: int | None
    posture_start: str
    posture_end: str
    claims: tuple[Claim, ...]
    partner: "Truth | None" = None


def truth_of(motion: Motion, joints: Array, person: int = 0) -> Truth:
    """The truth of one person's motion.

    Args:
        joints: ``[T, 25, 3]`` without noise, to tell the level that a hand reaches and what keeps still.
        person: the number that claims give the person.
    """
    claims = list(motion.claims)
    for side in SIDES:
        hand: Subject = "left hand" if side == "left" else "right hand"
        foot: Subject = "left foot" if side == "left" else "right foot"
        if side in motion.hands_act:
            claims.append(Claim(hand, "moves"))
            claims += _levels(hand, joints, NTU25.index(f"{side}_hand"))
        elif _keeps_still(joints, side):
            claims.append(Claim(hand, "still"))
        if side in motion.feet_act:
            claims.append(Claim(foot, "moves"))
            claims += [c for c in _levels(foot, joints, NTU25.index(f"{side}_ankle")) if c.predicate == "rises to"]
        if motion.counted and side in motion.hands_act:
            claims.append(Claim(hand, "repeats", str(min(motion.repetitions, 10))))
        if motion.counted and side in motion.feet_act:
            claims.append(Claim(foot, "repeats", str(min(motion.repetitions, 10))))
    if motion.counted and not motion.hands_act | motion.feet_act:
        claims.append(Claim("body", "repeats", str(min(motion.repetitions, 10))))
    start, end = motion.words
    if start != end:
        claims.append(Claim("body", "becomes", end))
    elif motion.whole_posture:
        claims.append(Claim("body", "posture", start))
    alone = motion.hands_act if motion.hands_act else motion.feet_act
    return Truth(
        hands=frozenset(motion.hands_act),
        feet=frozenset(motion.feet_act),
        side=next(iter(alone)) if len(alone) == 1 else None,
        repetitions=motion.repetitions if motion.counted else None,
        posture_start=start,
        posture_end=end,
        claims=tuple(Claim(c.subject, c.predicate, c.value, person) for c in dict.fromkeys(claims)),
    )


def levels(joints: Array) -> Array:
    """``[T, 6]`` borders in meters between the seven `HEIGHTS` of a person whose trunk were upright.

    They lie midway between floor, knee, hip, chest, shoulder and head, and 0.4 of the neck's length above the head.
    """
    y = {name: joints[:, NTU25.index(name), 1] for name in ("spine_base", "left_foot", "right_foot")}
    trunk = {name: np.median(_length(joints, *name)) for name in _TRUNK}
    floor = np.minimum(y["left_foot"], y["right_foot"])
    knee = floor + np.median(_length(joints, "left_ankle", "left_knee"))
    hip = y["spine_base"]
    knee = np.minimum(knee, hip)
    shoulder = hip + trunk[_TRUNK[0]] + trunk[_TRUNK[1]]
    chest = hip + trunk[_TRUNK[0]] + 0.4 * trunk[_TRUNK[1]]
    neck = trunk[_TRUNK[2]] + trunk[_TRUNK[3]]
    marks = [floor, knee, hip, chest, shoulder, shoulder + neck]
    return np.stack([*((a + b) / 2 for a, b in pairwise(marks)), marks[-1] + 0.4 * neck], axis=1)


_TRUNK = (("spine_base", "spine_mid"), ("spine_mid", "spine_shoulder"), ("spine_shoulder", "neck"), ("neck", "head"))


def _length(joints: Array, one: str, other: str) -> Curve:
    return np.asarray(np.linalg.norm(joints[:, NTU25.index(one)] - joints[:, NTU25.index(other)], axis=1))


def _levels(subject: Subject, joints: Array, joint: int) -> list[Claim]:
    """How high and how low a joint comes, as far as that is clear and differs from where it starts."""
    height, borders = joints[:, joint, 1], levels(joints)
    margin = _MARGIN * _height(joints)
    least = (height[:, None] - margin > borders).sum(axis=1)
    most = (height[:, None] + margin > borders).sum(axis=1)
    claims = []
    if least.max() == most.max() > most[0]:
        claims.append(Claim(subject, "rises to", HEIGHTS[most.max()]))
    if least.min() == most.min() < least[0]:
        claims.append(Claim(subject, "lowers to", HEIGHTS[least.min()]))
    return claims


def _keeps_still(joints: Array, side: Side) -> bool:
    """Whether a hand stays where it hangs or rests: on the trunk, or in the world."""
    hand = joints[:, NTU25.index(f"{side}_hand")]
    carried = hand - joints[:, NTU25.index("spine_shoulder")]
    spread = min(np.ptp(carried, axis=0).max(), np.ptp(hand, axis=0).max())
    return bool(spread < _STILL * _height(joints))


def _height(joints: Array) -> float:
    """Body height in meters from the bones of leg, trunk and head."""
    legs = (("left_ankle", "left_knee"), ("left_knee", "left_hip"))
    return float(sum(np.median(_length(joints, *bone)) for bone in (*_TRUNK, *legs)) / 0.866)
