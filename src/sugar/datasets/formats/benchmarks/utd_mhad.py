"""UTD-MHAD: MATLAB clips ``aA_sS_tT_skeleton.mat`` of 20 Kinect joints.

Chen et al., "UTD-MHAD: a multimodal dataset for human action recognition utilizing a depth camera and a
wearable inertial sensor", ICIP 2015; each file holds ``d_skel`` [20][3][T] in meters.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sugar.datasets.class_names import class_names
from sugar.datasets.formats.parsing.mat_file import read_array
from sugar.datasets.formats.source import Item, Plan, SourceFile, making_clip, one_each, read_one
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20

CLASSES = class_names("utd_mhad")

# The order of the joints in the files, after the list that comes with them; the sensor's axes are Kinect's.
_LIMBS = (("shoulder", "elbow", "wrist", "hand"), ("hip", "knee", "ankle", "foot"))
_FILE_ORDER = [
    *("head", "shoulder_center", "spine", "hip_center"),
    *(f"{side}_{joint}" for limb in _LIMBS for side in ("left", "right") for joint in limb),
]
_TO_KINECT20 = [_FILE_ORDER.index(name) for name in KINECT20.joint_names]
_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_skeleton")


@dataclass(frozen=True)
class UtdMhadReader:
    """UTD-MHAD: a folder or archive of ``aA_sS_tT_skeleton.mat``."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """One item a file.

        Raises:
            InputError: no ``.mat`` file.
        """
        return Plan(one_each(files, ".mat"), KINECT20, CLASSES, self.read)

    def read(self, item: Item) -> Iterator[SkeletonClip]:
        """The clip of one file."""
        (file,) = item.files
        yield _clip(file, named_by_protocol=True)


def read_clip_file(path: str | Path) -> SkeletonClip:
    """Read one ``.mat`` clip, of any name; label and numbers are taken from the name where it has UTD-MHAD's form.

    Raises:
        InputError: the file is absent, truncated, or not a valid clip.
    """
    return read_one(path, lambda file: _clip(file, named_by_protocol=False))


def _clip(file: SourceFile, *, named_by_protocol: bool) -> SkeletonClip:
    match = _NAME.fullmatch(file.stem)
    label, subject, trial = None, None, None
    if match:
        action, subject, trial = (int(number) for number in match.groups())
        if not 1 <= action <= len(CLASSES):
            raise InputError(f"action {action} of the file name is not one of UTD-MHAD's {len(CLASSES)}")
        label = CLASSES[action - 1]
    elif named_by_protocol:
        raise InputError("the file name is not of the form aA_sS_tT_skeleton.mat")
    clip_id = file.stem.removesuffix("_skeleton")
    with making_clip(clip_id, label):
        return SkeletonClip(
            joints=_joints(file.read())[:, None],  # one person
            layout=KINECT20,
            clip_id=clip_id,
            label=label,
            subject=subject,
            trial=trial,
        )


def _joints(content: bytes) -> npt.NDArray[np.float32]:
    """``[T, 20, 3]`` in the order of `KINECT20`."""
    skeleton = read_array(content, "d_skel")
    if skeleton.ndim == 2:  # MATLAB drops the last dimension of a single frame
        skeleton = skeleton[..., None]
    if skeleton.shape[:2] != (KINECT20.num_joints, 3) or skeleton.ndim != 3:
        raise InputError(
            f"'d_skel' must be numbers [{KINECT20.num_joints} joints][3][frames], "
            f"not {skeleton.dtype} of shape {skeleton.shape}"
        )
    # What is too large for float32 becomes infinite here; the clip then says where it stands.
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(skeleton.transpose(2, 0, 1)[:, _TO_KINECT20], dtype=np.float32)
