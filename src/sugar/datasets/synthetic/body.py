"""An articulated body: proportions, joint angles over time, and the kinematics that join the two.

Angles give most of a pose (forward kinematics). Where a hand has to arrive at a place or a foot has to stay
at one, the two bones of the limb are solved for it (inverse kinematics). Lengths of programs are in body
heights, so that they suit tall and short people alike.
"""

from dataclasses import dataclass

import numpy as np

from sugar.datasets.synthetic.motion import SIDES, SIGN, Array, Curve, Motion, Reach, Side
from sugar.skeleton.layouts import NTU25

# Parent to child in a person who stands with hanging arms, as shares of the body height; x to the person's
# right, y up, z to the back. Segment lengths after Drillis and Contini (1966), trimmed to where Kinect puts
# its joints. The limbs are given for the right side.
_OFFSETS = {
    "spine_base": (0, 0, 0),
    "spine_mid": (0, 0.14, 0.005),
    "spine_shoulder": (0, 0.14, -0.005),
    "neck": (0, 0.035, -0.005),
    "head": (0, 0.08, -0.015),
    "shoulder": (0.1, -0.02, 0),
    "elbow": (0, -0.17, 0),
    "wrist": (0, -0.146, 0),
    "hand": (0, -0.045, 0),
    "hand_tip": (0, -0.045, 0),
    "thumb": (-0.005, -0.015, -0.025),
    "hip": (0.05, -0.02, 0),
    "knee": (0, -0.235, 0),
    "ankle": (0, -0.236, 0),
    "foot": (0, -0.03, -0.075),
}

# Angles in degrees of somebody who stands at ease. Trunk: hinge forward at the hips, bend of the spine
# forward, lean to the right, twist to the left, nod of the head, turn of the whole body to the left. Each
# arm: raise, in the plane 0 in front to 90 at the side, roll of the upper arm inwards, flexion of elbow and
# wrist. Each leg: hip and spread for the thigh forward and outward, knee for the shank back, ankle for the
# toes up.
_TRUNK_POSTURE = {"hinge": 0.0, "bend": 2.0, "lean": 0.0, "twist": 0.0, "nod": 5.0, "turn": 0.0}
_LIMB_POSTURE = {
    **{"raise": 6.0, "plane": 75.0, "roll": 20.0, "elbow": 14.0, "wrist": 0.0},
    **{"hip": 1.0, "spread": 3.0, "knee": 2.0, "ankle": 1.0},
}
LEG_CHANNELS = frozenset(f"{side}_{k}" for side in SIDES for k in ("hip", "spread", "knee", "ankle"))
POSTURE = _TRUNK_POSTURE | {f"{side}_{k}": v for side in SIDES for k, v in _LIMB_POSTURE.items()}


@dataclass(frozen=True)
class Person:
    """Somebody's body and habits.

    Args:
        height: body height in meters.
        offsets: ``[25, 3]`` parent to child of each joint in the rest pose, meters.
        posture: standing angles in degrees.
        tempo: 1 is average, 2 twice as fast.
        vigour: 1 is average; scales how far movements go.
        right_handed: probability to act with the right side.
    """

    height: float
    offsets: Array
    posture: dict[str, float]
    tempo: float
    vigour: float
    right_handed: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Person":
        height = rng.uniform(1.5, 1.95)
        build = {joint: rng.normal(1, 0.04) for joint in _OFFSETS}
        offsets = np.zeros((NTU25.num_joints, 3))
        for i, name in enumerate(NTU25.joint_names):
            joint = name.removeprefix("left_").removeprefix("right_")
            offsets[i] = np.array(_OFFSETS[joint]) * height * build[joint]
            if name.startswith("left_"):
                offsets[i, 0] *= -1
        return cls(
            height=height,
            offsets=offsets,
            posture={name: angle + rng.normal(0, 1 if name in LEG_CHANNELS else 2) for name, angle in POSTURE.items()},
            tempo=rng.uniform(0.8, 1.25),
            vigour=rng.uniform(0.85, 1.15),
            right_handed=rng.choice([0.15, 0.85]),
        )

    def length(self, joint: str) -> float:
        """Length in meters of the bone that ends in a joint."""
        return float(np.linalg.norm(self.offsets[NTU25.index(joint)]))


def pose(person: Person, motion: Motion) -> Array:
    """Forward kinematics: joint positions ``[T, 25, 3]`` in meters.

    The rotation of each bone is that of its parent times its own. Then the body is put down: the lower foot
    stands ``motion.lift`` above the floor, y = 0, and the ankles of the supporting feet stay over the origin;
    or the hips follow the footprints and the legs are solved for them. At last hands go where they are drawn.
    """
    turn = motion.angles["turn"]
    if motion.feet:
        turn = turn + _smooth((motion.feet["left"].yaw + motion.feet["right"].yaw) / 2)
    own = _bone_rotations(motion.angles)
    rotations: dict[int, Array] = {NTU25.root: _about(1, turn)}
    positions = np.zeros((len(motion.time), NTU25.num_joints, 3))
    for joint in _TOP_DOWN:
        parent = NTU25.parents[joint]
        rotation = rotations[parent]
        if NTU25.joint_names[joint] in own:
            rotation = rotation @ own[NTU25.joint_names[joint]]
        rotations[joint] = rotation
        positions[:, joint] = positions[:, parent] + rotation @ person.offsets[joint]
    if motion.feet:
        positions = _stand_on_footprints(person, motion, turn, positions)
    else:
        shift = np.zeros((len(motion.time), 3))
        if motion.support:
            ankles = [NTU25.index(f"{side}_ankle") for side in motion.support]
            shift = -positions[:, ankles].mean(axis=1)
        shift[:, 1] = motion.lift * person.height - positions[:, _LEGS, 1].min(axis=1)
        positions = positions + shift[:, None]
        for side in motion.support:
            _plant(person, side, turn, positions)
    for reach in motion.reaches:
        _reach(person, reach, positions, rotations)
    return positions


def _top_down() -> list[int]:
    order = [NTU25.root]
    for joint in order:
        order += [j for j, parent in enumerate(NTU25.parents) if parent == joint and j != joint]
    return order[1:]


_TOP_DOWN = _top_down()
_LEGS = [NTU25.index(f"{side}_{joint}") for side in SIDES for joint in ("knee", "ankle", "foot")]


def _about(axis: int, degrees: Curve) -> Array:
    """``[T, 3, 3]`` right-handed rotations about a coordinate axis."""
    matrix = np.zeros((len(degrees), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    angle = np.deg2rad(degrees)
    matrix[:, axis, axis] = 1
    matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
    matrix[:, j, i] = np.sin(angle)
    matrix[:, i, j] = -matrix[:, j, i]
    return matrix


def _bone_rotations(angles: dict[str, Curve]) -> dict[str, Array]:
    """Own rotation of the bones that end in the joints named, ``[T, 3, 3]`` each."""
    half = _about(1, angles["twist"] / 2) @ _about(2, -angles["lean"] / 2) @ _about(0, -angles["bend"] / 2)
    bones = {
        "spine_mid": _about(0, -angles["hinge"]) @ half,
        "spine_shoulder": half,
        "head": _about(0, -angles["nod"]),
    }
    for side in SIDES:
        sign = SIGN[side]
        a = {k: angles[f"{side}_{k}"] for k in _LIMB_POSTURE}
        # Raising in a plane: turn the plane to the front, raise, turn back (as the ISB's Y-X-Y for the
        # shoulder).
        bones[f"{side}_elbow"] = (
            _about(1, -sign * a["plane"]) @ _about(0, a["raise"]) @ _about(1, sign * (a["plane"] + a["roll"]))
        )
        bones[f"{side}_wrist"] = _about(0, a["elbow"])
        bones[f"{side}_hand"] = _about(0, a["wrist"])
        bones[f"{side}_knee"] = _about(2, sign * a["spread"]) @ _about(0, a["hip"])
        bones[f"{side}_ankle"] = _about(0, -a["knee"])
        bones[f"{side}_foot"] = _about(0, a["ankle"])
    return bones


def _smooth(curve: Curve) -> Curve:
    """``[T]`` or ``[T, n]`` blurred over some half a second, the ends held."""
    width = 12
    kernel = np.exp(-0.5 * (np.arange(-width, width + 1) / 5.0) ** 2)
    kernel /= kernel.sum()
    if curve.ndim == 2:
        return np.stack([_smooth(column) for column in curve.T], axis=1)
    return np.convolve(np.pad(curve, width, mode="edge"), kernel, mode="valid")


def _stand_on_footprints(person: Person, motion: Motion, turn: Curve, positions: Array) -> Array:
    """Put the body, whose hips are at the origin, over its footprints and solve the legs for them."""
    flat, toe, ankle = {}, {}, {}
    for side, foot in motion.feet.items():
        sole = person.offsets[NTU25.index(f"{side}_foot")]  # ankle to toes, the foot flat on the floor
        yaw = _about(1, foot.yaw)
        flat[side] = np.stack([foot.x, 0 * foot.x, foot.z], axis=1) * person.height
        toe[side] = flat[side] + yaw @ (sole * (1, 0, 1))
        toe[side][:, 1] = foot.lift * person.height
        ankle[side] = toe[side] - (yaw @ _about(0, -foot.heel)) @ sole
    # The hips keep between the feet, a little toward the one that bears the weight.
    weight = {side: np.exp(-foot.lift / 0.01)[:, None] for side, foot in motion.feet.items()}
    middle = (flat["left"] + flat["right"]) / 2
    bearing = sum(weight[s] * flat[s] for s in SIDES) / sum(weight[s] for s in SIDES)
    hips = _smooth(0.75 * middle + 0.25 * bearing)
    straight = np.full(len(hips), np.inf)
    for side in SIDES:
        leg = person.length(f"{side}_knee") + person.length(f"{side}_ankle")
        hip = positions[:, NTU25.index(f"{side}_hip")]
        away = np.linalg.norm((hips + hip - ankle[side])[:, [0, 2]], axis=1)
        limit = ankle[side][:, 1] + np.sqrt(np.maximum((0.999 * leg) ** 2 - away**2, 0.05 * leg**2)) - hip[:, 1]
        # A foot in the air sets no limit.
        straight = np.minimum(straight, np.where(motion.feet[side].lift > 0.01, np.inf, limit))
    straight = np.where(np.isfinite(straight), straight, straight[np.isfinite(straight)].min())
    hips[:, 1] = np.minimum(_smooth(straight - 0.003 * person.height), straight)
    if motion.sink:
        hips[:, 1] += motion.sink[1] * (motion.sink[0] * person.height - hips[:, 1])
    hips[:, 1] += motion.lift * person.height
    positions = positions + hips[:, None]
    for side in SIDES:
        rise = motion.lift[:, None] * np.array([0, person.height, 0])
        _solve_leg(person, side, (motion.feet[side].yaw + turn) / 2, ankle[side] + rise, positions)
        positions[:, NTU25.index(f"{side}_foot")] += toe[side] - ankle[side]
    return positions


def _plant(person: Person, side: Side, turn: Curve, positions: Array) -> None:
    """Keep an ankle over the spot where it first was, in place."""
    ankle, foot = NTU25.index(f"{side}_ankle"), NTU25.index(f"{side}_foot")
    sole = positions[:, foot] - positions[:, ankle]
    target = positions[:, ankle].copy()
    target[:, [0, 2]] = target[0, [0, 2]]
    _solve_leg(person, side, turn, target, positions)
    positions[:, foot] += sole


def _solve_leg(person: Person, side: Side, forward: Curve, target: Array, positions: Array) -> None:
    """Bend a leg so that its ankle comes to ``target``, the knee to the front, in place; the foot goes to the ankle."""
    hip, knee, ankle, foot = (NTU25.index(f"{side}_{joint}") for joint in ("hip", "knee", "ankle", "foot"))
    lengths = person.length(f"{side}_knee"), person.length(f"{side}_ankle")
    pole = -_about(1, forward)[:, :, 2]
    positions[:, knee], positions[:, ankle] = _two_bones(positions[:, hip], target, pole, *lengths)
    positions[:, foot] = positions[:, ankle]


def _two_bones(
    start: Array, target: Array, pole: Array, first: float | Curve, second: float | Curve
) -> tuple[Array, Array]:
    """Middle joint and end ``[T, 3]`` of two bones from ``start`` toward ``target``, bent toward ``pole``."""
    line = target - start
    far = np.linalg.norm(line, axis=1)
    line = line / np.maximum(far, 1e-9)[:, None]
    far = np.clip(far, np.abs(np.subtract(first, second)) + 1e-3, np.add(first, second) - 1e-6)
    along = (np.square(first) - np.square(second) + far**2) / (2 * far)
    aside = pole - (pole * line).sum(axis=1, keepdims=True) * line
    aside = aside / np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    out = np.sqrt(np.maximum(np.square(first) - along**2, 0))
    return start + along[:, None] * line + out[:, None] * aside, start + far[:, None] * line


def _reach(person: Person, reach: Reach, positions: Array, rotations: dict[int, Array]) -> None:
    """Draw a hand to its place, in place; where the share is 0 nothing changes."""
    shoulder, elbow, hand = (NTU25.index(f"{reach.side}_{joint}") for joint in ("shoulder", "elbow", "hand"))
    chest = rotations[NTU25.index("spine_shoulder")]
    target = reach.offset * person.height
    if reach.anchor != "place":
        anchor = NTU25.index(reach.anchor)
        axes = rotations[anchor] if reach.anchor in ("spine_shoulder", "head") else rotations[NTU25.root]
        target = positions[:, anchor] + (axes @ target[..., None])[..., 0]
    share = reach.share[:, None]
    before = positions[:, hand] - positions[:, elbow]
    upper = positions[:, elbow] - positions[:, shoulder]
    line = positions[:, hand] - positions[:, shoulder]
    bent = upper - (upper * line).sum(axis=1, keepdims=True) / (line**2).sum(axis=1, keepdims=True) * line
    bent = bent / np.maximum(np.linalg.norm(bent, axis=1, keepdims=True), 1e-9)
    wanted = np.array(reach.elbow) * (SIGN[reach.side], 1, 1)
    pole = (1 - share) * bent + share * (chest @ (wanted / np.linalg.norm(wanted)))
    middle, end = _two_bones(
        positions[:, shoulder],
        positions[:, hand] + share * (target - positions[:, hand]),
        pole,
        np.linalg.norm(upper, axis=1),
        np.linalg.norm(before, axis=1),
    )
    turn = _shortest_turn(before, end - middle)
    for joint in ("wrist", "hand", "hand_tip", "thumb"):
        j = NTU25.index(f"{reach.side}_{joint}")
        positions[:, j] = middle + (turn @ (positions[:, j] - positions[:, elbow])[..., None])[..., 0]
    positions[:, elbow] = middle


def _shortest_turn(before: Array, after: Array) -> Array:
    """``[T, 3, 3]`` rotations that take one direction ``[T, 3]`` to another."""
    a = before / np.linalg.norm(before, axis=1, keepdims=True)
    b = after / np.linalg.norm(after, axis=1, keepdims=True)
    axis, cosine = np.cross(a, b), (a * b).sum(axis=1)
    cross = np.zeros((len(a), 3, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        cross[:, j, k], cross[:, k, j] = -axis[:, i], axis[:, i]
    return np.eye(3) + cross + cross @ cross / np.maximum(1 + cosine, 1e-6)[:, None, None]
