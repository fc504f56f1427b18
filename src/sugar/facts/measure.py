"""Facts measured from the joints of a clip, without labels, and the claims that they bear out."""

from dataclasses import dataclass, replace
from typing import Literal

from sugar.facts.body_frame import bodies
from sugar.facts.claims import HEIGHTS, VALUES, Claim, Subject
from sugar.facts.limb_motion import HandsFacts, LimbFacts, limbs
from sugar.facts.posture import BodyFacts, PairFacts, measure_body, measure_pair
from sugar.facts.thresholds import Thresholds
from sugar.facts.verify import (
    directions,
    has_path,
    speed_class,
    verify_body,
    verify_hands,
    verify_limb,
    verify_pair,
    wanders,
)
from sugar.skeleton.clip import SkeletonClip

_HANDS: tuple[Subject, Subject] = ("left hand", "right hand")
_FEET: tuple[Subject, Subject] = ("left foot", "right foot")
_LEAST_FRAMES = 4
"""Fewer frames show a posture but no movement."""


@dataclass(frozen=True)
class PersonFacts:
    """What one person does: hands and feet (left, right), the hands beside each other, the body."""

    hands: tuple[LimbFacts, LimbFacts]
    feet: tuple[LimbFacts, LimbFacts]
    beside: HandsFacts
    body: BodyFacts

    def mirrored(self) -> "PersonFacts":
        return PersonFacts(
            hands=(self.hands[1].mirrored(), self.hands[0].mirrored()),
            feet=(self.feet[1].mirrored(), self.feet[0].mirrored()),
            beside=self.beside,
            body=self.body.mirrored(),
        )

    def side(self, limit: Thresholds) -> Literal["left", "right"] | None:
        """The side that acts, of the hands, or of the feet where they go farther; None for both alike."""
        hands, feet = (max(limb.extent for limb in limbs) for limbs in (self.hands, self.feet))
        # Feet that carry the body along do not act.
        kicks = feet > limit.kick * hands and self.body.way < limit.travel[0]
        pair = self.feet if kicks or hands < limit.moves[1] else self.hands
        more, less = sorted(pair, key=lambda limb: -limb.extent)
        wider = more.extent / max(less.extent, 1e-9)
        busier = more.path.work / max(less.path.work, 1e-9)
        if more.extent < limit.foot_moves[1] or not more.known:
            return None
        if wider >= limit.side or (wider >= limit.side_busy[0] and busier >= limit.side_busy[1]):
            return "left" if more is pair[0] else "right"
        return None

    def still(self, limit: Thresholds) -> bool:
        """Whether nothing of the person moves."""
        extents = [limb.extent for limb in (*self.hands, *self.feet) if limb.known]
        return max([self.body.sway, *extents]) <= limit.body_still


@dataclass(frozen=True)
class MotionFacts:
    """Facts of a clip.

    Args:
        people: the people in it, two at most; a claim's ``person`` is an index of these.
        pair: of two people together; None where there are not two.
        depth: whether the layout has depth: in an image forward, back and turns cannot be told.
        moving: whether the clip has frames enough to tell movement.
        limit: the thresholds.
    """

    people: tuple[PersonFacts, ...]
    pair: PairFacts | None
    depth: bool
    moving: bool
    limit: Thresholds

    def claims(self) -> tuple[Claim, ...]:
        """What is worth saying, the most salient first: at most eight claims of one person, five each of two."""
        most = 8 if len(self.people) < 2 else 5
        made = [c for c in _pair_claims(self) if self.check(c)]
        for person in range(len(self.people)):
            made += [c for c in _person_claims(self, person) if self.check(c)][:most]
        return tuple(made)

    def check(self, claim: Claim) -> bool | None:
        """Whether the joints bear a claim out; None where this clip cannot tell."""
        if not self.moving and (claim.predicate != "posture"):
            return None
        if claim.subject == "people":
            return verify_pair(self.pair, claim, self.limit) if self.pair else None
        if claim.person >= len(self.people):
            return None
        facts = self.people[claim.person]
        match claim.subject:
            case "body" if claim.predicate == "still":
                return facts.still(self.limit)
            case "body" | "knees":
                return verify_body(facts.body, claim, self.limit, self.depth)
            case "both hands" if claim.predicate == "hands":
                return verify_hands(facts.beside, facts.hands, claim.value, self.limit)
            case "both hands":
                answers = [verify_limb(hand, claim, self.limit, self.depth) for hand in facts.hands]
                return None if None in answers else all(answers)
            case "left hand" | "right hand":
                return verify_limb(facts.hands[_HANDS.index(claim.subject)], claim, self.limit, self.depth)
            case "left foot" | "right foot":
                return verify_limb(facts.feet[_FEET.index(claim.subject)], claim, self.limit, self.depth)

    def mirrored(self) -> "MotionFacts":
        """The facts of the same clip seen in a mirror."""
        return replace(self, people=tuple(facts.mirrored() for facts in self.people))


def measure(clip: SkeletonClip, limit: Thresholds | None = None) -> MotionFacts:
    """Measure a clip of any layout with the usual joint names; it needs no label."""
    limit = limit or Thresholds()
    there = [body for body in bodies(clip, limit) if body]
    # A third person is nearly always a passer-by: the two seen longest, in their order.
    longest = sorted(range(len(there)), key=lambda i: -len(there[i].frames))[:2]
    chosen = [there[i] for i in sorted(longest)]
    return MotionFacts(
        people=tuple(PersonFacts(*limbs(body, limit), measure_body(body, limit)) for body in chosen),
        pair=measure_pair(chosen[0], chosen[1], limit) if len(chosen) == 2 else None,
        depth=clip.layout.dimension == 3,
        moving=max(len(body.frames) for body in chosen) >= _LEAST_FRAMES,
        limit=limit,
    )


def _person_claims(of: MotionFacts, person: int) -> list[Claim]:
    facts = of.people[person]
    body = facts.body
    made = [Claim("body", "becomes", posture, person) for posture in _changes(body)]
    made += _body_events(of, person)
    if facts.still(of.limit):
        made.append(Claim("body", "still", "", person))
    else:
        made += _hand_claims(of, person) + _foot_claims(of, person)
    # Where little happens to the whole body, that is said after the main claims and before the lesser ones.
    whole = [Claim("body", "posture", body.postures[0], person)] if len(body.postures) == 1 else []
    if body.way <= of.limit.nowhere[0]:
        whole.append(Claim("body", "travels", "nowhere", person))
    made = made[:6] + whole + made[6:]
    return list(dict.fromkeys(made))


def _changes(body: BodyFacts) -> list[str]:
    """The posture that the person ends in, or the one on the way if the end is as the start."""
    if len(body.postures) < 2:
        return []
    return [body.postures[-1] if body.postures[-1] != body.postures[0] else body.postures[1]]


def _body_events(of: MotionFacts, person: int) -> list[Claim]:
    body, limit = of.people[person].body, of.limit
    made = [Claim("body", "jumps", "", person)] if body.jumps else []
    if body.way >= limit.travel[0]:
        ahead, aside = body.ahead, body.aside
        if wanders(body, limit.about) or not of.depth:
            made.append(Claim("body", "travels", "about", person))
        elif abs(ahead) >= abs(aside):
            made.append(Claim("body", "travels", "forward" if ahead > 0 else "back", person))
        else:
            made.append(Claim("body", "travels", "right" if aside > 0 else "left", person))
    if abs(body.turned) >= limit.around[0]:
        made.append(Claim("body", "turns", "around", person))
    elif abs(body.turned) >= limit.turn[0]:
        made.append(Claim("body", "turns", "left" if body.turned > 0 else "right", person))
    bends = {"forward": body.forward / limit.bend_forward[0], "back": body.back / limit.bend_back[0]}
    bends |= {"left": body.left / limit.bend_side[0], "right": body.right / limit.bend_side[0]}
    farthest = "forward" if bends["forward"] >= 1 else max(bends, key=lambda way: bends[way])
    if bends[farthest] >= 1:
        made.append(Claim("body", "bends", farthest, person))
    if body.knees >= limit.knees[0] and body.knees_change >= limit.knees[0] / 2 and not body.jumps:
        made.append(Claim("knees", "bends", "", person))
    if body.repeats >= 2 and (body.jumps or (body.way < limit.travel[0] and len(body.postures) > 1)):
        made.append(Claim("body", "repeats", str(min(body.repeats, 10)), person))
    return made


def _taking_part(pair: tuple[LimbFacts, LimbFacts], least: float, limit: Thresholds) -> list[int]:
    """PreparedSplit that take part, 0 left and 1 right, the one that goes farther first."""
    least = max(least, limit.leads * max(limb.extent for limb in pair))
    sides = sorted((0, 1), key=lambda i: -pair[i].extent)
    return [i for i in sides if pair[i].known and pair[i].extent >= least]


def _hand_claims(of: MotionFacts, person: int) -> list[Claim]:
    facts, limit = of.people[person], of.limit
    active = _taking_part(facts.hands, limit.moves[0], limit)
    each = [_limb_claims(of, facts.hands[i], _HANDS[i], person) for i in active]
    if len(active) == 1:
        other = facts.hands[1 - active[0]]
        if other.known and other.extent <= limit.still[0]:
            each[0].insert(2, Claim(_HANDS[1 - active[0]], "still", "", person))
    if len(active) < 2:
        return each[0] if each else []
    # What both do is said of both, by the lead of the one that goes farther.
    shared = [both if of.check(both := replace(c, subject="both hands")) else c for c in each[0]]
    first = [c for c in shared if c.predicate in ("moves", "rises to", "lowers to")]
    relation = [
        Claim("both hands", "hands", value, person)
        for value in ("cross", "meet", "part", "together")
        if verify_hands(facts.beside, facts.hands, value, limit, says=True)
    ]
    return first + relation[:1] + [c for c in shared if c not in first]


def _limb_claims(of: MotionFacts, limb: LimbFacts, subject: Subject, person: int) -> list[Claim]:
    limit = of.limit
    made = [Claim(subject, "moves", "", person)]
    if limb.rise >= limit.rise[0] and limb.top > limb.start:
        made.append(Claim(subject, "rises to", HEIGHTS[limb.top], person))
    elif limb.fall >= limit.rise[0] and limb.bottom < limb.start:
        made.append(Claim(subject, "lowers to", HEIGHTS[limb.bottom], person))
    shape = next((value for value in reversed(VALUES["path"]) if has_path(limb, value, limit, says=True)), None)
    path = [Claim(subject, "path", shape, person)] if shape else []
    repeats = [Claim(subject, "repeats", str(min(limb.repeats, 10)), person)] if limb.repeats >= 2 else []
    goes = [Claim(subject, "goes", way, person) for way in directions(limb, limit, of.depth, says=True)]
    speed = [Claim(subject, "speed", speed_class(limb.speed, limit.slow, limit.fast), person)]
    if shape == "straight":
        return made + goes[:2] + speed + path
    return made + path + repeats + goes[: 1 if shape else 2] + speed


def _foot_claims(of: MotionFacts, person: int) -> list[Claim]:
    """Of feet that do more than carry the body."""
    facts, limit = of.people[person], of.limit
    if facts.body.jumps or facts.body.way >= limit.travel[0] or len(facts.body.postures) > 1:
        return []
    return [
        claim
        for i in _taking_part(facts.feet, limit.foot_moves[0], limit)
        for claim in _limb_claims(of, facts.feet[i], _FEET[i], person)[:4]
    ]


def _pair_claims(of: MotionFacts) -> list[Claim]:
    pair, limit = of.pair, of.limit
    if pair is None or not of.moving:
        return []
    made = []
    if pair.embrace <= limit.embrace[0]:
        made.append(Claim("people", "contact", "embrace"))
    elif max(pair.pushes) >= limit.shove[0]:
        made.append(Claim("people", "contact", "push"))
    elif pair.hands <= limit.touch[0]:
        made.append(Claim("people", "contact", "hands"))
    if max(pair.start - pair.end, pair.start - pair.least) >= limit.approach[0]:
        made.append(Claim("people", "distance", "closer"))
    if max(pair.end - pair.start, pair.end - pair.least) >= limit.approach[0]:
        made.append(Claim("people", "distance", "apart"))
    if pair.most <= limit.near:
        made.append(Claim("people", "distance", "near"))
    elif pair.least >= limit.far:
        made.append(Claim("people", "distance", "far"))
    return made
