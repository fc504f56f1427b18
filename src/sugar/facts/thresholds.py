"""Where a measured movement becomes a claim: every threshold of the fact measurement, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Lengths in body heights, times in seconds, angles in degrees, speeds in body heights a second.

    Set on synthetic clips, some after a look at training-side clips of NW-UCLA (views 1 and 2) and UTD-MHAD (odd
    subjects): docs/facts.md names them. Of a pair (says, bears) the first is what it takes to make the claim,
    the second what it takes to bear it out: the gap is the margin for claims made by others.
    """

    knee_noise: float = 0.03
    """Offset of a knee from the line of hip and ankle that says nothing of where the front is."""
    knees_back: tuple[float, float] = (0.03, 0.012)
    """Mean offset of both knees to the back from which left and right are taken to be mixed up; the second
    of a person who would walk backwards otherwise."""
    knee_each: float = 0.003
    """And of each knee, of a person who does not walk."""
    moves: tuple[float, float] = (0.15, 0.12)
    """Extent of a hand's or foot's path against the body from which it takes part."""
    foot_moves: tuple[float, float] = (0.12, 0.07)
    """The same of a foot, on the floor or through the air."""
    still: tuple[float, float] = (0.12, 0.18)
    """Extent up to which it stays still."""
    leads: float = 0.4
    """Share of the other side's extent from which a hand takes part as well: less is balance."""
    side: float = 1.4
    """How much wider than the other's the path of the side is that acts."""
    side_busy: tuple[float, float] = (1.1, 1.35)
    """Or so much wider, and so much longer while in action: a hand on guard moves, but does not strike."""
    kick: float = 1.5
    """How much farther than the hands the feet go that act."""
    level_margin: float = 0.04
    """A height this near to the next level counts for both."""
    rise: tuple[float, float] = (0.08, 0.05)
    """Least way up (or down) from the start of a hand or foot that rises (lowers)."""
    stroke: tuple[float, float] = (0.12, 0.09)
    """Least length of a main stroke in one direction."""
    stroke_share: tuple[float, float] = (0.6, 0.4)
    """Of the longest stroke's range: further directions from which they are main ones as well."""
    stroke_back: tuple[float, float] = (0.75, 0.5)
    """A stroke away from the start counts before one back unless it is shorter than this share of it: aside
    or forward, and up or down."""
    stroke_either: float = 0.35
    """Lead of one way of an axis over the other below which both count."""
    midline: tuple[float, float] = (0.04, 0.08)
    """How near to the midline, from its own side, a hand must come that goes inward."""
    circle_turn: tuple[float, float] = (270.0, 230.0)
    """Degrees by which the direction of a circular path turns in one sense."""
    circle_reversal: float = 115.0
    """Degrees of a turn between two steps that is an about-turn: it has no sense."""
    circle_sense: float = 0.7
    """Share of that in all turning."""
    circle_core: float = 0.5
    """As ``core``, for circles: their low points are near the rest."""
    circle_size: tuple[float, float] = (0.12, 0.4)
    """Least width of a circle, and least width as a share of its length."""
    circle_round: tuple[float, float] = (0.7, 0.62)
    """Near over far points (lowest quarter, highest tenth) from the middle of a circle stretched to equal sides."""
    circle_swings: float = 1.2
    """Swings beyond the turns of a path from which it goes to and fro, not in circles."""
    circle_step: float = 0.04
    """Steps along the way in which the turning is measured."""
    straight: tuple[float, float] = (0.1, 0.2)
    """How far a straight stroke leaves the line between its ends, as a share of its length."""
    core: float = 0.6
    """Share of a limb's farthest way from its start from which it is in action, not on the way there or back."""
    swing: tuple[float, float] = (0.04, 0.25)
    """Least half swing, and least as a share of the range: less is noise, not a repetition."""
    slow: float = 0.9
    """Top speed of a slow hand or foot is below."""
    fast: float = 2.2
    """Top speed of a fast hand or foot is above."""
    body_slow: float = 0.2
    """Top speed of the slow trunk is below."""
    body_fast: float = 0.9
    """Top speed of the fast trunk is above."""
    speed_margin: float = 0.15
    """Share by which a speed may pass its class."""
    meet: tuple[float, float] = (0.08, 0.11)
    """Distance of hands that meet."""
    part: tuple[float, float] = (0.12, 0.08)
    """Growth or loss of the hands' distance that counts as parting or meeting."""
    cross: tuple[float, float] = (0.05, 0.02)
    """How far each hand is beyond the other when they cross."""
    together: tuple[float, float] = (0.75, 0.6)
    """Correlation of the velocities of hands that move together."""
    thigh: float = 0.6
    """Upright share of the thighs, on average, below which nobody stands (1 vertical, 0 level)."""
    either_thigh: float = 0.8
    """The same of the more upright thigh."""
    seat_knees: float = 55.0
    """Flexion of both knees with which thighs steeper than that do not stand either."""
    knee_down: float = 0.13
    """Height of a knee that kneels."""
    lying: float = 0.35
    """Neck above ankles up to which a person whose trunk is level lies."""
    seat_rest: float = 0.6
    """Seconds at the low point that tell a seat from a squat; at the start or end of a clip none are needed."""
    ankle_ahead: float = 0.06
    """How far the ankles of a sitting person are in front of the hips."""
    brief: float = 0.1
    """Seconds: postures held for less are passed over."""
    upright: float = 20.0
    """Degrees of trunk and knees up to which a person stands upright, with the trunk at its own rest."""
    own_lean: float = 10.0
    """Degrees by which the trunk of somebody who stands may lean all the time without bending."""
    bend_forward: tuple[float, float] = (30.0, 25.0)
    """Trunk from the vertical to the front."""
    bend_far: float = 40.0
    """Trunk from the vertical, whichever way, from which it bends forward,"""
    bend_askew: float = 10.0
    """if it does so by so much."""
    bend_side: tuple[float, float] = (20.0, 16.0)
    """Trunk to the side."""
    bend_back: tuple[float, float] = (20.0, 16.0)
    """Trunk to the back."""
    knees: tuple[float, float] = (45.0, 35.0)
    """Flexion of both knees at a time, and change of it at least half as much."""
    travel: tuple[float, float] = (0.2, 0.1)
    """Way of pelvis and feet from which a person travels."""
    nowhere: tuple[float, float] = (0.12, 0.18)
    """Way up to which a person stays in place."""
    about: float = 0.6
    """Distance over way below which traveling is wandering about."""
    turn: tuple[float, float] = (60.0, 45.0)
    """Turn between start and end."""
    around: tuple[float, float] = (135.0, 115.0)
    """Turn between start and end that is about-face."""
    jump: tuple[float, float] = (0.024, 0.016)
    """Both feet off the floor, and so many times the rise of hips, neck and head meanwhile."""
    jump_rise: float = 2.0
    """Legs push and land bent: the trunk rises less than the feet."""
    flight: float = 0.8
    """Seconds that no jump exceeds."""
    body_still: float = 0.1
    """Extent of hands, feet and trunk up to which nothing moves at all."""
    near: float = 0.6
    """Distance of two people up to which they are near."""
    far: float = 0.9
    """Distance from which they are far."""
    approach: tuple[float, float] = (0.15, 0.1)
    """Change of their distance that counts as coming closer or moving apart."""
    touch: tuple[float, float] = (0.12, 0.16)
    """Distance of a hand from another's hand or trunk that it touches."""
    embrace: tuple[float, float] = (0.25, 0.3)
    """Half the distance of two people, and the distance of all hands from the other's trunk, in an embrace."""
    shove: tuple[float, float] = (0.12, 0.08)
    """How far somebody moves away who is pushed."""
