"""One skeleton clip: the joints of one or more persons over time, valid from the moment it exists."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import get_layout

Array = npt.NDArray[np.float32]

MAX_FPS = 1000
MAX_COORDINATE = 1e9
"""Farther away nothing is a body, and squares leave float32."""


@dataclass(frozen=True, eq=False)
class SkeletonClip:
    """A clip of skeletons. Immutable: its arrays cannot be written to.

    Args:
        joints: ``[T, M, V, C]``: frames, persons, joints, coordinates (3 in meters or 2 in pixels).
            A joint with all coordinates zero was not measured; a person of such joints is absent.
        layout: the joint layout; the name of a built-in one is turned into it.
        fps: frames a second, at most 1000.
        confidence: ``[T, M, V]`` or None.
        clip_id: unique name of the clip within a data set.
        label: name of the class, or None.
        subject, camera, setup, trial: what protocols split by, or None.

    Raises:
        InputError: wrong shape or number of joints, no frame, a coordinate not finite or beyond 1e9, nobody present,
            an unknown layout, no sensible fps.
    """

    joints: Array
    layout: JointLayout
    fps: float = 30.0
    confidence: Array | None = None
    clip_id: str = ""
    label: str | None = None
    subject: int | None = None
    camera: int | None = None
    setup: int | None = None
    trial: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", _frozen(self.joints, self._where, "joints"))
        if not isinstance(self.layout, JointLayout):
            object.__setattr__(self, "layout", get_layout(str(self.layout)))
        self._check_shape()
        self._check_finite()
        if not self.joints.any():
            raise InputError(f"{self._where}: every joint of every frame is zero, so nobody is there")
        if not (isinstance(self.fps, int | float | np.integer | np.floating) and 0 < self.fps <= MAX_FPS):
            raise InputError(f"{self._where}: fps must be a number above zero, at most {MAX_FPS}, not {self.fps!r}")
        if self.confidence is not None:
            object.__setattr__(self, "confidence", _frozen(self.confidence, self._where, "confidence"))
            if self.confidence.shape != self.joints.shape[:3] or not np.isfinite(self.confidence).all():
                raise InputError(
                    f"{self._where}: confidence must be finite numbers of shape {self.joints.shape[:3]} "
                    f"(frames, persons, joints), not of shape {self.confidence.shape}"
                )

    @property
    def _where(self) -> str:
        return f"clip {self.clip_id!r}" if self.clip_id else "clip"

    def _check_shape(self) -> None:
        shape, layout = self.joints.shape, self.layout
        if len(shape) != 4:
            raise InputError(
                f"{self._where}: joints must be [frames, persons, joints, coordinates], not of shape {shape}"
            )
        if shape[0] == 0:
            raise InputError(f"{self._where}: it has no frames")
        if shape[1] == 0:
            raise InputError(f"{self._where}: it has no persons")
        if shape[2] != layout.num_joints:
            raise InputError(
                f"{self._where}: {shape[2]} joints a person, but layout {layout.name} has {layout.num_joints}"
            )
        if shape[3] != layout.dimension:
            raise InputError(
                f"{self._where}: {shape[3]} coordinates a joint, but layout {layout.name} has {layout.dimension}"
            )

    def _check_finite(self) -> None:
        good = np.abs(self.joints) <= MAX_COORDINATE  # which NaN is not
        if not good.all():
            frame, person, joint, axis = (int(i) for i in np.argwhere(~good)[0])
            value = self.joints[frame, person, joint, axis]
            fault = f"beyond {MAX_COORDINATE:g}" if np.isfinite(value) else "not a finite float32 number"
            raise InputError(
                f"{self._where}: {self.layout.joint_names[joint]} of person {person} in frame {frame} "
                f"is {fault} ({value})"
            )

    @property
    def num_frames(self) -> int:
        return self.joints.shape[0]

    @property
    def num_persons(self) -> int:
        return self.joints.shape[1]

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """``[T, M]``: true where a person has any measured (non-zero) joint in the frame."""
        return np.asarray(self.joints.any(axis=(2, 3)))


def _frozen(values: npt.ArrayLike, where: str, what: str) -> Array:
    """As float32 that nobody can write to; a copy unless it already is that (a view into a store)."""
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        array = values
    else:
        try:
            # A number too large for float32 becomes infinite here and is reported with its place later.
            with np.errstate(over="ignore"):
                array = np.asarray(values, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}: {what} are not a regular array of numbers ({error})") from None
    if array.flags.writeable:
        array = array.copy() if array is values or array.base is not None else array
        array.setflags(write=False)
    return array
