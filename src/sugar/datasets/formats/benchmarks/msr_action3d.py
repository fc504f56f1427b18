"""MSR Action3D: text clips ``aAA_sSS_eEE_skeleton3D.txt`` of 20 joints, 15 frames a second.

Li et al., "Action recognition based on a bag of 3D points", CVPR workshops 2010. A frame is 20 rows of
``x y z confidence`` in meters, already in the axes of `KINECT20`. The confidence is left out: it is 0 for the
joints of the trunk and the feet in nearly every frame, although they are placed as well as the others.
"""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sugar.datasets.class_names import class_names
from sugar.datasets.formats.source import Item, Plan, SourceFile, making_clip, read_one
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20

CLASSES = class_names("msr_action3d")
FPS = 15.0

_ENDING = "_skeleton3D.txt"
_NAME = re.compile(r"a([0-9]{1,4})_s([0-9]{1,4})_e([0-9]{1,4})_skeleton3D")
_MAX_BYTES = 32 * 1024**2  # some 40,000 frames; the longest clip has 936

# The rows of a frame in the files' own order. The bones of the data set's body model bear it out: each of these
# joints keeps its distance to its parent in KINECT20.
_ROWS = (
    *("left_shoulder", "right_shoulder", "shoulder_center", "spine", "left_hip", "right_hip", "hip_center"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle", "left_foot", "right_foot", "head"),
)
_TO_KINECT20 = [_ROWS.index(joint) for joint in KINECT20.joint_names]


@dataclass(frozen=True)
class MsrAction3DReader:
    """MSR Action3D: a folder or archive of ``aAA_sSS_eEE_skeleton3D.txt``; other files are passed over."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """One item a clip."""
        items = tuple(Item(file.name, (file,)) for file in files if file.name.endswith(_ENDING))
        if not items:
            raise InputError(f"it holds no file whose name ends in {_ENDING}")
        return Plan(items, KINECT20, CLASSES, self.read)

    def read(self, item: Item) -> Iterator[SkeletonClip]:
        """The clip of one file."""
        (file,) = item.files
        yield _clip(file, named_by_protocol=True)


def read_clip_file(path: str | Path) -> SkeletonClip:
    """Read one text clip, of any name; label and numbers are taken from the name where it has MSR Action3D's form.

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
            raise InputError(f"action {action} of the file name is not one of the {len(CLASSES)} of MSR Action3D")
        label = CLASSES[action - 1]
    elif named_by_protocol:
        raise InputError(f"the file name is not of the form aAA_sSS_eEE{_ENDING}")
    clip_id = file.stem.removesuffix("_skeleton3D")
    rows = _table(file.read(_MAX_BYTES))
    if len(rows) % KINECT20.num_joints:
        raise InputError(f"its {len(rows)} rows are not a multiple of the {KINECT20.num_joints} joints: truncated?")
    # What is too large for float32 becomes infinite here; the clip then says where it stands.
    with np.errstate(over="ignore"):
        joints = rows[:, :3].astype(np.float32).reshape(-1, 1, KINECT20.num_joints, 3)[:, :, _TO_KINECT20]
    with making_clip(clip_id, label):
        # A frame of zeros is one in which nobody was found; it stays, so that time does not jump.
        return SkeletonClip(joints, KINECT20, FPS, clip_id=clip_id, label=label, subject=subject, trial=trial)


def _table(content: bytes) -> npt.NDArray[np.float64]:
    """``[rows, 4]``."""
    if not content.strip():
        raise InputError("it is empty")
    try:
        rows = np.loadtxt(io.StringIO(content.decode("ascii")), comments=None, ndmin=2)
    except UnicodeDecodeError:
        raise InputError("not a text file of numbers") from None
    except ValueError as error:
        raise InputError(f"not rows of 'x y z confidence' ({str(error).split(';')[0]})") from None
    if rows.shape[1] != 4:
        raise InputError(f"its rows have {rows.shape[1]} numbers, not the four of 'x y z confidence'")
    return rows
