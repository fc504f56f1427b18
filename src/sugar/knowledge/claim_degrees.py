"""How much each claim holds of a clip: not only whether, but by how far, from the same measured facts."""

import numpy as np
import torch
from torch import Tensor

from sugar.facts.claims import HEIGHTS, Claim
from sugar.facts.limb_motion import HandsFacts, LimbFacts
from sugar.facts.measure import MotionFacts
from sugar.facts.posture import POSTURES, BodyFacts
from sugar.knowledge.claim_space import HANDS, LIMBS, claim_space

_WAYS = {"outward": (0, 1), "up": (1, 1), "forward": (2, 1), "inward": (0, -1), "down": (1, -1), "back": (2, -1)}
# Usual speeds of limbs in arm lengths a second, and of the body in heights a second: between slow and fast.
_LIMB_PACE, _BODY_PACE = 1.4, 0.42


def measured_claims(facts: MotionFacts) -> Tensor:
    """``[2, C]`` of `claim_space`: 1 or 0 for what the joints bear out or not, and by how much; NaN: cannot be told."""
    claims = claim_space().claims
    answers = (facts.check(claim) for claim in claims)
    truths = [float("nan") if answer is None else float(answer) for answer in answers]
    return torch.tensor([truths, [degree(facts, claim) for claim in claims]])


def degree(facts: MotionFacts, claim: Claim) -> float:
    """How much a claim holds: more is more true, of whatever unit; NaN where it is not measured."""
    if claim.person >= len(facts.people) or claim.subject == "people":
        return float("nan")
    person = facts.people[claim.person]
    if claim.subject in LIMBS:
        pair = person.hands if claim.subject in HANDS else person.feet
        return _limb(pair[LIMBS[claim.subject]], claim)
    if claim.subject == "both hands":
        least = min(hand.extent for hand in person.hands)
        return _beside(person.beside, claim.value) + 0.5 * min(least, 0.3)
    if claim.predicate == "still":
        return -max(person.body.sway, *(hand.extent for hand in person.hands))
    return _body(person.body, claim)


def _limb(limb: LimbFacts, claim: Claim) -> float:
    path, value = limb.path, claim.value
    if not limb.known:
        return float("nan")
    match claim.predicate:
        case "moves" | "still":
            return min(limb.extent, 0.8) * (1 if claim.predicate == "moves" else -1)
        case "rises to" | "lowers to":
            up = claim.predicate == "rises to"
            level, between, way = (limb.top, limb.highest, limb.rise) if up else (limb.bottom, limb.lowest, limb.fall)
            return -abs((sum(between) + 2 * level) / 4 - HEIGHTS.index(value)) - (1.5 if way < 0.05 else 0.0)
        case "goes":
            axis, sign = _WAYS[value]
            stroke = path.strokes[axis if sign > 0 else axis + 3]
            return (0.5 * stroke + 0.3 * stroke / (max(path.strokes) + 0.1)) * (1 + 0.5 * sign * path.leads[axis])
        case "path" if "circle" in value:
            turns = path.turning / 360 * (1 if value == "clockwise circle" else -1)
            return float(np.clip(turns, -1, 1.2)) * max(path.sense, 0.0) * (0.3 + path.width[2])
        case "path" if value == "straight":
            return -min(path.bulge, 0.6)
        case "path":
            swings = 0 if path.swing_axis == 2 else min(limb.repeats, 5) / 5
            return swings - min(abs(path.turning) / 360, 1) * path.sense
        case "repeats":
            return _count(limb.repeats, value)
    return _pace(limb.speed, value, _LIMB_PACE)


def _beside(beside: HandsFacts, value: str) -> float:
    match value:
        case "meet":
            return 0.5 * min(beside.met, 0.5) - min(beside.closest, 0.5)
        case "cross":
            return float(np.clip(beside.crossed, -0.3, 0.3))
        case "part":
            return min(beside.parted, 0.6) - min(beside.near, 0.4)
    return beside.together


def _body(body: BodyFacts, claim: Claim) -> float:
    value = claim.value
    match claim.predicate:
        case "posture":
            return body.shares[POSTURES.index(value)]
        case "becomes":
            share = body.shares[POSTURES.index(value)] if len(body.postures) > 1 else 0.0
            return (value in body.postures[1:]) + 0.3 * share
        case "bends" if claim.subject == "knees":
            return min(body.knees, 120.0)
        case "bends":
            angles = {"forward": body.forward, "back": body.back, "left": body.left, "right": body.right}
            return min(angles.get(value, max(angles.values())), 70.0)
        case "travels" if value == "nowhere":
            return -min(body.way, 1.5)
        case "travels" if value == "about":
            return min(body.path, 3.0) / 2 - abs(body.ahead) / 2
        case "travels":
            way = body.ahead if value in ("forward", "back") else body.aside
            return float(np.clip(way, -1, 1)) * (1 if value in ("forward", "right") else -1)
        case "turns" if value == "around":
            return abs(body.turned)
        case "turns":
            return float(np.clip(body.turned, -90, 90)) * (1 if value == "left" else -1)
        case "jumps":
            return min(body.lift, 0.1)
        case "moves":
            return body.sway
        case "repeats":
            return _count(body.repeats, value)
    return _pace(body.speed, value, _BODY_PACE)


def _count(measured: int, said: str) -> float:
    return -abs(float(np.log2(max(min(measured, 10), 0.5) / int(said))))


def _pace(speed: float, value: str, moderate: float) -> float:
    pace = float(np.log(max(speed, 0.05) / moderate))
    return {"slow": -pace, "fast": pace, "moderate": -abs(pace)}[value]
