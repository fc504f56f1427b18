"""Toyota Smarthome: JSON clips ``Label_pPP_rRR_vVV_cCC.json`` of 13 joints, in the image or in space.

Das et al., "Toyota Smarthome: real-world activities of daily living", ICCV 2019; poses by LCR-Net, the refined ones by
Yang et al., "Selective spatio-temporal aggregation based pose refinement system", WACV 2021. ``frames`` is a list
of frames, each a list of bodies with ``pose2d`` (13 x, then 13 y, pixels) and ``pose3d`` (likewise with z, meters).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sugar.datasets.class_names import class_names
from sugar.datasets.formats.parsing.person_linking import link_persons
from sugar.datasets.formats.parsing.pose_json import check_persons, load_json, numbers
from sugar.datasets.formats.source import Item, Plan, SourceFile, check_fps, making_clip, one_each, read_one
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import SMARTHOME13, SMARTHOME13_3D

CLASSES = class_names("smarthome")

_RAW_LABELS = (
    *("Cook.Cleandishes", "Cook.Cleanup", "Cook.Cut", "Cook.Stir", "Cook.Usestove", "Cutbread"),
    *("Drink.Frombottle", "Drink.Fromcan", "Drink.Fromcup", "Drink.Fromglass", "Eat.Attable", "Eat.Snack"),
    *("Enter", "Getup", "Laydown", "Leave", "Makecoffee.Pourgrains", "Makecoffee.Pourwater"),
    *("Maketea.Boilwater", "Maketea.Insertteabag", "Pour.Frombottle", "Pour.Fromcan", "Pour.Fromkettle"),
    *("Readbook", "Sitdown", "Takepills", "Uselaptop", "Usetablet", "Usetelephone", "Walk", "WatchTV"),
)
_CLASS_OF_LABEL = dict(zip(_RAW_LABELS, CLASSES, strict=True))
_NAME = re.compile(r"(.+?)_p([0-9]{1,4})_r([0-9]{1,4})_v([0-9]{1,4})_c([0-9]{1,4})")


@dataclass(frozen=True)
class SmarthomeReader:
    """Toyota Smarthome: a folder or archive of ``Label_pPP_rRR_vVV_cCC.json``."""

    dimension: Literal["2d", "3d"] = "2d"
    """``pose2d`` in pixels or ``pose3d`` in meters."""
    axes: Literal["lcrnet", "camera"] = "lcrnet"
    """Axes of ``pose3d``: ``lcrnet`` has x to the camera's left and y up, as this project has it, ``camera``
    (poses lifted by VideoPose3D, say) x to its right and y down; both have z away from the camera."""
    persons: int = 1
    """How many bodies of a frame to keep, in the order of the file (the surest first). There are no track ids:
    several are linked from frame to frame by where they are."""
    fps: float = 20.0
    """Frames a second of the videos."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """One item a file."""
        check_persons(self.persons)
        check_fps(self.fps)
        return Plan(one_each(files, ".json"), self._layout, CLASSES, self.read)

    @property
    def _layout(self) -> JointLayout:
        return SMARTHOME13 if self.dimension == "2d" else SMARTHOME13_3D

    def read(self, item: Item) -> Iterator[SkeletonClip]:
        """The clip of one file."""
        (file,) = item.files
        yield self._clip(file, named_by_protocol=True)

    def _clip(self, file: SourceFile, *, named_by_protocol: bool) -> SkeletonClip:
        clip_id, label = file.stem, None
        subject, trial, setup, camera = None, None, None, None
        if match := _NAME.fullmatch(file.stem):
            subject, trial, setup, camera = (int(number) for number in match.groups()[1:])
            label = _CLASS_OF_LABEL.get(match[1])
            if label is None:
                raise InputError(
                    f"{match[1]!r} of the file name is not one of Toyota Smarthome's {len(CLASSES)} labels"
                )
        elif named_by_protocol:
            raise InputError("the file name is not of the form Label_pPP_rRR_vVV_cCC.json")
        joints = self._joints(load_json(file.read()))
        with making_clip(clip_id, label):
            return SkeletonClip(
                joints=joints,
                layout=self._layout,
                fps=self.fps,
                clip_id=clip_id,
                label=label,
                subject=subject,
                camera=camera,
                setup=setup,
                trial=trial,
            )

    def _joints(self, data: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        """``[T, M, 13, C]``; a frame without bodies stays, with nobody there."""
        frames = data.get("frames") if isinstance(data, dict) else None
        if not isinstance(frames, list) or not frames:
            raise InputError("it needs an object with a list 'frames' of one frame or more")
        people = [self._people(frame, t) for t, frame in enumerate(frames)]
        # What is too large for float32 becomes infinite here; the clip then says where it stands.
        with np.errstate(over="ignore", invalid="ignore"):
            linked = link_persons(people, self._layout, persons=max(1, *map(len, people)))
            joints = linked[..., :-1].astype(np.float32)
        if not joints.any():
            raise InputError("nobody is there in any of its frames")
        return joints

    def _people(self, frame: object, t: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        """``[P, 13, C + 1]``, the last 1 where a joint was measured."""
        if not isinstance(frame, list) or not all(isinstance(body, dict) for body in frame):
            raise InputError(f"frame {t} is not a list of bodies")
        layout, field = self._layout, f"pose{self.dimension}"
        bodies = np.zeros((len(frame[: self.persons]), layout.num_joints, layout.dimension + 1))
        for place, body in zip(bodies, frame, strict=False):
            if field not in body:
                raise InputError(f"a body of frame {t} has no {field!r}")
            flat = numbers(body[field], layout.num_joints * layout.dimension, f"{field} of frame {t}")
            place[:, :-1] = flat.reshape(layout.dimension, layout.num_joints).T
            place[:, -1] = place[:, :-1].any(axis=1)
        if self.dimension == "3d" and self.axes == "camera":
            bodies[..., :2] *= -1
        return bodies


def read_clip_file(path: str | Path, reader: SmarthomeReader = SmarthomeReader()) -> SkeletonClip:
    """Read one JSON clip, of any name; label and numbers are taken from the name where it has Smarthome's form.

    Raises:
        InputError: the file is absent, truncated, or not a valid clip.
    """
    check_persons(reader.persons)
    return read_one(path, lambda file: reader._clip(file, named_by_protocol=False))
