"""Transforms of one clip's joints in NumPy.

Every function takes joints ``[T, M, V, C]`` float32 (frames, persons, joints, coordinates) and returns a new
array. A joint with all coordinates zero was not measured. It stays zero, and so do absent persons, who are
all zeros. The same operations on padded batches of tensors are in :mod:`sugar.transforms.augment`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError
from sugar.skeleton.layout import JointLayout

Array = npt.NDArray[np.float32]


def is_measured(joints: Array) -> npt.NDArray[np.bool_]:
    """``[T, M, V]``: true where a joint has any coordinate that is not zero."""
    return np.asarray(joints.any(axis=3))


def is_present(joints: Array) -> npt.NDArray[np.bool_]:
    """``[T, M]``: true where a person has any measured joint."""
    return np.asarray(joints.any(axis=(2, 3)))


def trim(joints: Array) -> Array:
    """Leave out the frames at both ends in which nobody is there."""
    there = np.flatnonzero(is_present(joints).any(axis=1))
    return joints[there[0] : there[-1] + 1] if len(there) else joints


def center(joints: Array, layout: JointLayout, joint: str | None = None) -> Array:
    """Move the clip so that a joint of the first person lies at the origin in the first frame that has it.

    One shift for the whole clip: travel and the distance between persons are kept. If the joint was never
    measured, the mean of that person's joints takes its place.

    Args:
        joint: name of the joint; None is the layout's root.
    """
    measured = is_measured(joints)
    person = _first_person(joints)
    index = layout.root if joint is None else layout.index(joint)
    track = joints[measured[:, person, index], person, index]
    body = joints[:, person][measured[:, person]]
    if not len(body):
        return joints.copy()
    origin = track[0] if len(track) else body.mean(axis=0)
    return np.where(measured[..., None], joints - origin, np.float32(0))


def body_scale(joints: Array, layout: JointLayout) -> float:
    """Median over frames and present persons of the total length of all bones; 1 if nothing has a length.

    A bone to a joint that was not measured counts with its usual length, the median of where both its ends were.
    One that never was has that of the other side's bone, in want of it the mean of all usual lengths.
    """
    child, parent = np.array(layout.bones).T
    bodies = joints[is_present(joints)]
    measured = np.asarray(bodies.any(axis=2))
    points = bodies[measured]
    # A root that is zero throughout and amid the body is no gap: every frame was centerd on it.
    if len(points) and not measured[:, layout.root].any():
        measured[:, layout.root] = np.square(points.mean(axis=0)).sum() < points.var(axis=0).sum()
    whole = measured[:, child] & measured[:, parent]
    if not whole.any():
        return 1.0
    lengths = np.linalg.norm(bodies[:, child] - bodies[:, parent], axis=-1)
    if not whole.all():
        usual = np.full(layout.num_joints, np.nan, dtype=lengths.dtype)
        usual[child] = np.ma.median(np.ma.masked_array(lengths, ~whole), axis=0).filled(np.nan)
        usual = np.where(np.isnan(usual), usual[list(layout.mirror)], usual)
        usual = np.where(np.isnan(usual), np.nanmean(usual), usual)
        lengths = np.where(whole, lengths, usual[child])
    return float(np.median(lengths.sum(axis=1))) or 1.0


def normalize_scale(joints: Array, layout: JointLayout) -> Array:
    """Scale the clip so that its :func:`body_scale` is 1: tall and short people become comparable."""
    return (joints / np.float32(body_scale(joints, layout))).astype(np.float32)


def heading(joints: Array, layout: JointLayout) -> float:
    """Angle in radians about the vertical by which the first person stands turned away from the x axis.

    The sideways axis is the mean of the shoulder and the hip lines, left to right, its median over the
    frames. Layouts without joints of these names use all their left/right pairs.

    Raises:
        InputError: the layout has two dimensions or no left/right pairs.
    """
    if layout.dimension != 3 or not layout.pairs:
        raise InputError(f"layout {layout.name!r}: a heading needs 3 dimensions and left/right pairs")
    person = _first_person(joints)
    bodies = joints[is_present(joints)[:, person], person]
    if not len(bodies):
        return 0.0
    left, right = np.array(layout.trunk_pairs).T
    measured = is_measured(bodies[:, None])[:, 0]
    across = bodies[:, right] - bodies[:, left]
    across = np.where((measured[:, left] & measured[:, right])[..., None], across, 0).mean(axis=1)
    sideways = _geometric_median(across[:, list(layout.level_axes)])
    return float(np.arctan2(sideways[1], sideways[0]))


def align_heading(joints: Array, layout: JointLayout) -> Array:
    """Turn the whole clip about the vertical so that the first person's left-to-right axis lies on +x.

    The turn is one angle for the clip, so turning of the body within the clip and the placement of other
    persons are kept. It takes the camera's direction out of the data: what a cross-view protocol asks for.
    """
    first, second = layout.level_axes
    angle = heading(joints, layout)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cos
    matrix[first, second], matrix[second, first] = sin, -sin
    return rotate(joints, matrix)


def rotation_matrix(axis: int | Sequence[float], degrees: float) -> npt.NDArray[np.float64]:
    """``[3, 3]`` right-handed rotation about a coordinate axis (0, 1, 2) or a direction (Rodrigues)."""
    direction = np.eye(3)[axis] if isinstance(axis, int) else np.asarray(axis, dtype=np.float64)
    norm = np.linalg.norm(direction)
    if direction.shape != (3,) or not norm > 0:
        raise InputError("rotation axis must be 0, 1, 2 or three numbers that are not all zero")
    x, y, z = direction / norm
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotate(joints: Array, matrix: npt.NDArray[np.floating]) -> Array:
    """Multiply every joint, as a column vector, by a ``[C, C]`` matrix (about the origin)."""
    return (joints @ np.asarray(matrix, dtype=np.float32).T).astype(np.float32)


def resample(joints: Array, length: int) -> Array:
    """Linear interpolation in time to ``length`` frames; the ends are kept (a single frame is the middle).

    Where one of the two neighbors lacks the person, the nearer one is taken as it is, so that nobody is
    blended with the zeros of absence.
    """
    frames = len(joints)
    if length < 1 or frames < 1:
        raise ValueError(f"cannot resample {frames} frames to {length}")
    return sample_at(joints, np.linspace(0, frames - 1, length) if length > 1 else np.array([(frames - 1) / 2]))


def sample_at(joints: Array, positions: npt.NDArray[np.floating]) -> Array:
    """Joints at fractional frame positions ``[L]`` within 0..T-1: ``[L, M, V, C]``; see :func:`resample`."""
    low = np.floor(positions).astype(np.int64)
    high = np.minimum(low + 1, len(joints) - 1)
    weight = (positions - low).astype(np.float32)[:, None]
    present = is_present(joints)
    both = present[low] & present[high]
    weight = np.where(both, weight, (weight >= 0.5).astype(np.float32))[:, :, None, None]
    return (joints[low] * (1 - weight) + joints[high] * weight).astype(np.float32)


def crop(joints: Array, start: int, stop: int) -> Array:
    """Frames ``start`` to ``stop`` (exclusive).

    Raises:
        ValueError: the range is empty or outside the clip.
    """
    if not 0 <= start < stop <= len(joints):
        raise ValueError(f"crop {start}:{stop} is empty or outside the clip's {len(joints)} frames")
    return joints[start:stop].copy()


def mirror(joints: Array, layout: JointLayout) -> Array:
    """Reflect the first level axis and swap left and right joints: the same action done with the other side."""
    flipped = joints[:, :, list(layout.mirror)]
    flipped[..., layout.level_axes[0]] *= -1
    return flipped


def jitter(joints: Array, deviation: float, rng: np.random.Generator) -> Array:
    """Add Gaussian noise of the given standard deviation to every measured joint."""
    noise = rng.standard_normal(joints.shape, dtype=np.float32) * np.float32(deviation)
    return np.where(is_measured(joints)[..., None], joints + noise, np.float32(0))


def drop_joints(joints: Array, dropped: Sequence[int]) -> Array:
    """Set joints to zero, "not measured", through the whole clip."""
    kept = joints.copy()
    kept[:, :, list(dropped)] = 0
    return kept


def select_persons(joints: Array, count: int) -> tuple[Array, int]:
    """Keep the ``count`` persons with most motion, in their order; also give how many present ones went.

    Motion is the variance of each joint's coordinates over the frames in which it was measured. Interactions
    have two people; a third is nearly always a passer-by or a ghost of the sensor.
    """
    if joints.shape[1] <= count:
        return joints.copy(), 0
    measured = is_measured(joints)
    present = np.flatnonzero(measured.any(axis=(0, 2)))
    motion = np.full(joints.shape[1], -1.0)
    for person in present:
        frames, ever = measured[:, person].any(axis=1), measured[:, person].any(axis=0)
        there = measured[frames, person][:, ever]
        motion[person] = joints[frames, person][:, ever].var(axis=0, where=there[..., None]).sum()
    kept = np.sort(np.argsort(-motion, kind="stable")[:count])
    return joints[:, kept].copy(), max(0, len(present) - count)


def _first_person(joints: Array) -> int:
    """The lowest index of a person who is present at all."""
    return int(is_present(joints).any(axis=0).argmax())


def _geometric_median(points: npt.NDArray[np.floating], iterations: int = 10) -> npt.NDArray[np.floating]:
    """The point ``[C]`` with the least sum of distances to ``points`` ``[N, C]``, by Weiszfeld's iteration.

    Unlike the median of each coordinate, it turns with the points: what is left of the camera's direction
    would otherwise depend on the camera.
    """
    center = points.mean(axis=0)
    for _ in range(iterations):
        distance = np.linalg.norm(points - center, axis=1)
        weight = 1 / np.maximum(distance, 1e-3 * distance.mean() + 1e-12)
        center = weight @ points / weight.sum()
    return center
