"""Northwestern-UCLA Multiview Action 3D: JSON clips ``aAA_sSS_eEE_vVV.json`` of 20 Kinect joints.

Wang et al., "Cross-view action modeling, learning and recognition", CVPR 2014; the JSON form in common use
holds ``file_name``, ``skeletons`` [T][20][3] in meters and ``label`` 1..10.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sugar.datasets.class_names import class_names
from sugar.datasets.formats.parsing.pose_json import leaf_types, load_json
from sugar.datasets.formats.source import Item, Plan, SourceFile, making_clip, one_each, read_one
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20

CLASSES = class_names("nw_ucla")

# The files number their actions 1 to 12 and leave out 7 and 10.
_CLASS_OF_ACTION = dict(zip((1, 2, 3, 4, 5, 6, 8, 9, 11, 12), CLASSES, strict=True))
_NAME = re.compile(r"a(\d+)_s(\d+)_e(\d+)_v(\d+)")


@dataclass(frozen=True)
class NwUclaReader:
    """Northwestern-UCLA: a folder or archive of ``aAA_sSS_eEE_vVV.json``."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """One item a file."""
        return Plan(one_each(files, ".json"), KINECT20, CLASSES, self.read)

    def read(self, item: Item) -> Iterator[SkeletonClip]:
        """The clip of one file."""
        (file,) = item.files
        yield _clip(file, named_by_protocol=True)


def read_clip_file(path: str | Path) -> SkeletonClip:
    """Read one JSON clip, of any name; label and numbers are taken from the name where it has NW-UCLA's form.

    Raises:
        InputError: the file is absent, truncated, or not a valid clip.
    """
    return read_one(path, lambda file: _clip(file, named_by_protocol=False))


def _clip(file: SourceFile, *, named_by_protocol: bool) -> SkeletonClip:
    match = _NAME.fullmatch(file.stem)
    label, subject, trial, camera = None, None, None, None
    if match:
        action, subject, trial, camera = (int(number) for number in match.groups())
        if action not in _CLASS_OF_ACTION:
            raise InputError(f"action {action} of the file name is not one of NW-UCLA's ten")
        label = _CLASS_OF_ACTION[action]
    elif named_by_protocol:
        raise InputError("the file name is not of the form aAA_sSS_eEE_vVV.json")
    data = load_json(file.read())
    if not isinstance(data, dict) or not isinstance(data.get("skeletons"), list):
        raise InputError("it needs an object with a list 'skeletons' of frames")
    if label is not None and "label" in data and data["label"] != CLASSES.index(label) + 1:
        raise InputError(f"its label {data['label']} contradicts its file name ({label})")
    try:
        # What is too large for float32 becomes infinite here; the clip then says where it stands.
        with np.errstate(over="ignore"):
            joints = np.array(data["skeletons"], dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise InputError(_first_fault(data["skeletons"])) from None
    if len(joints) == 0:
        raise InputError("it has no frames")
    if joints.ndim != 3:
        raise InputError(f"'skeletons' must be [frames][joints][3], not of shape {joints.shape}")
    if not leaf_types(data["skeletons"], 3) <= {int, float}:
        raise InputError(_first_fault(data["skeletons"]))
    with making_clip(file.stem, label):
        return SkeletonClip(
            joints=joints[:, None],  # one person
            layout=KINECT20,
            clip_id=file.stem,
            label=label,
            subject=subject,
            camera=camera,
            trial=trial,
        )


def _first_fault(frames: list[object]) -> str:
    """Which frame keeps ``frames`` from being a regular array of numbers."""
    for t, frame in enumerate(frames):
        if not isinstance(frame, list) or len(frame) != KINECT20.num_joints:
            count = len(frame) if isinstance(frame, list) else "no"
            return f"frame {t} has {count} joints, but layout {KINECT20.name} has {KINECT20.num_joints}"
        for joint, position in zip(KINECT20.joint_names, frame, strict=True):
            if not isinstance(position, list) or len(position) != 3:
                return f"{joint} in frame {t} is not three coordinates"
            if not all(type(x) in (int, float) for x in position):
                return f"{joint} in frame {t} has a coordinate that is not a number"
    return "'skeletons' is not a regular array of numbers"
