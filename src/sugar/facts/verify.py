"""Whether measured facts bear a claim out, with the margins of `Thresholds`."""

from sugar.facts.claims import HEIGHTS, Claim
from sugar.facts.limb_motion import HandsFacts, LimbFacts, is_circle
from sugar.facts.posture import POSTURES, BodyFacts, PairFacts
from sugar.facts.thresholds import Thresholds

_AXES = (("outward", "inward"), ("up", "down"), ("forward", "back"))


def speed_class(value: float, slow: float, fast: float) -> str:
    return "slow" if value < slow else "fast" if value > fast else "moderate"


def directions(limb: LimbFacts, limit: Thresholds, depth: bool, says: bool) -> list[str]:
    """Directions of the main strokes, those of the widest axis first; ``says``: fit to be claimed."""
    k = 0 if says else 1
    axes = (0, 1, 2) if depth else (0, 1)
    longest = max(limb.ranges[axis] for axis in axes)
    found: list[tuple[float, str]] = []
    for axis in axes:
        if limb.ranges[axis] < max(limit.stroke[k], limit.stroke_share[k] * longest):
            continue
        ways = (limb.path.strokes[axis], limb.path.strokes[axis + 3])
        first = 0 if limb.path.leads[axis] >= 0 else 1
        # Away from the start and back are often alike: away counts, unless the other is clearly longer.
        main = first if ways[first] >= limit.stroke_back[axis == 1] * ways[1 - first] else 1 - first
        # Of a way to both sides of the start both count where they are alike.
        either = not says and abs(limb.path.leads[axis]) < limit.stroke_either and min(ways) >= 0.7 * max(ways)
        for way in (0, 1):
            over = axis != 0 or way == 0 or limb.innermost <= limit.midline[k]
            if over and (way == main or either):
                found.append((limb.ranges[axis], _AXES[axis][way]))
    return [name for _, name in sorted(found, key=lambda f: -f[0])]


def has_path(limb: LimbFacts, value: str, limit: Thresholds, says: bool) -> bool:
    k = 0 if says else 1
    circle = is_circle(limb.path.turning, limb.path.sense, limb.path.width, limit, says)
    match value:
        case "clockwise circle":
            return circle and limb.path.turning > 0
        case "counter-clockwise circle":
            return circle and limb.path.turning < 0
        case "zigzag":
            return not circle and limb.repeats >= 2 and limb.path.swing_axis != 2
        case _:
            thrusts = limb.repeats <= 1 or limb.path.swing_axis == 2
            return not circle and thrusts and limb.path.bulge <= limit.straight[k]


def verify_limb(limb: LimbFacts, claim: Claim, limit: Thresholds, depth: bool) -> bool | None:
    """Of a claim about one hand or foot."""
    if not limb.known:
        return None
    moves = limb.extent >= (limit.foot_moves if "foot" in claim.subject else limit.moves)[1]
    match claim.predicate:
        case "moves":
            return moves
        case "still":
            return limb.extent <= limit.still[1]
        case "rises to":
            level = HEIGHTS.index(claim.value)
            return limb.rise >= limit.rise[1] and limb.highest[0] <= level <= limb.highest[1] and level >= limb.start
        case "lowers to":
            level = HEIGHTS.index(claim.value)
            return limb.fall >= limit.rise[1] and limb.lowest[0] <= level <= limb.lowest[1] and level <= limb.start
        case "goes" if not depth and claim.value in ("forward", "back"):
            return None
        case "goes":
            return moves and claim.value in directions(limb, limit, depth, says=False)
        case "path":
            return moves and has_path(limb, claim.value, limit, says=False)
        case "repeats":
            return moves and same_count(limb.repeats, int(claim.value))
        case "speed":
            return moves and _speed(limb.speed, limit.slow, limit.fast, claim.value, limit)
        case _:
            return False


def verify_hands(
    beside: HandsFacts, hands: tuple[LimbFacts, LimbFacts], value: str, limit: Thresholds, says: bool = False
) -> bool | None:
    """Of a claim about what the hands do with each other; ``says``: one fit to be claimed."""
    k = 0 if says else 1
    if not all(hand.known for hand in hands):
        return None
    if not all(hand.extent >= limit.moves[k] for hand in hands):
        return False
    match value:
        case "meet":
            return beside.closest <= limit.meet[k] and beside.met >= limit.part[k]
        case "cross":
            return beside.crossed >= limit.cross[k]
        case "part":
            return beside.near <= limit.meet[k] and beside.parted >= limit.part[k]
        case _:
            return beside.together >= limit.together[k]


def verify_body(body: BodyFacts, claim: Claim, limit: Thresholds, depth: bool) -> bool | None:
    """Of a claim about trunk, knees or the whole body, but for "still"."""
    legs = bool(body.postures)
    value = claim.value
    match claim.predicate:
        case "bends" if claim.subject == "knees":
            if value:
                return False
            return body.knees >= limit.knees[1] and body.knees_change >= limit.knees[1] / 2 if legs else None
        case "posture":
            return body.shares[POSTURES.index(value)] >= 0.8 if legs else None
        case "becomes":
            return value in body.postures[1:] if legs else None
        case "bends":
            return _bends(body, value, limit, depth)
        case "travels":
            return _travels(body, value, limit, depth)
        case "turns" if not depth:
            return None
        case "turns" if value == "around":
            return abs(body.turned) >= limit.around[1]
        case "turns":
            return (body.turned if value == "left" else -body.turned) >= limit.turn[1]
        case "jumps":
            return body.lift >= limit.jump[1]
        case "moves":
            return body.sway > limit.body_still
        case "repeats":
            return same_count(body.repeats, int(value))
        case "speed":
            return _speed(body.speed, limit.body_slow, limit.body_fast, value, limit)
        case _:
            return False


def _bends(body: BodyFacts, value: str, limit: Thresholds, depth: bool) -> bool | None:
    match value:
        case "forward":
            return body.forward >= limit.bend_forward[1] if depth else None
        case "back":
            return body.back >= limit.bend_back[1] if depth else None
        case "left" | "right":
            return (body.left if value == "left" else body.right) >= limit.bend_side[1]
        case _:  # in any direction
            sides = max(body.left, body.right) >= limit.bend_side[1]
            return sides or body.forward >= limit.bend_forward[1] or body.back >= limit.bend_back[1]


def _travels(body: BodyFacts, value: str, limit: Thresholds, depth: bool) -> bool | None:
    if value == "nowhere":
        return body.way <= limit.nowhere[1]
    if body.way < limit.travel[1]:
        return False
    if value == "about":
        return wanders(body, limit.about + 0.2)
    if not depth:
        return None
    along = {"forward": body.ahead, "back": -body.ahead, "right": body.aside, "left": -body.aside}
    # Half way between two directions counts for both.
    return along[value] >= max(0.6 * limit.travel[1], 0.7 * max(along.values()))


def wanders(body: BodyFacts, share: float) -> bool:
    """Whether a person ends nearer to the start than they have been, or by a long way round."""
    return bool(max(abs(body.ahead), abs(body.aside)) < share * max(body.way, 0.7 * body.path))


def verify_pair(pair: PairFacts, claim: Claim, limit: Thresholds) -> bool:
    """Of a claim about two people."""
    match claim.value:
        case "near":
            return pair.most <= limit.near * 1.15
        case "far":
            return pair.least >= limit.far * 0.85
        case "closer":
            return max(pair.start - pair.end, pair.start - pair.least) >= limit.approach[1]
        case "apart":
            return max(pair.end - pair.start, pair.end - pair.least) >= limit.approach[1]
        case "hands":
            return pair.hands <= limit.touch[1]
        case "embrace":
            return pair.embrace <= limit.embrace[1]
        case _:
            return max(pair.pushes) >= limit.shove[1]


def same_count(measured: int, said: int) -> bool:
    """One and two are counted exactly, more within one; ten stands for more as well."""
    measured = min(measured, 10)
    return measured > 0 and abs(measured - said) <= (1 if max(measured, said) >= 3 else 0)


def _speed(value: float, slow: float, fast: float, said: str, limit: Thresholds) -> bool:
    return said in {speed_class(value * k, slow, fast) for k in (1 - limit.speed_margin, 1, 1 + limit.speed_margin)}
