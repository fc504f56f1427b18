"""UAV-Human: text files of 17 COCO joints in pixels, in the form of NTU RGB+D's.

Li et al., "UAV-Human: A large benchmark for human behavior understanding with unmanned aerial vehicles", CVPR 2021.
Files are named ``P070S01G10B00H10UC102000LC092000A031R0_09131758.txt``: person, setup (the clothes that the person
wears), gender, backpack, hat, upper and lower clothing, action from 0, replicate and the time of recording.

A file has the lines of an NTU file (`formats.parsing.skeleton_text`). Of a joint's fields the first two are x to
the right and y down in pixels of the video; the others are not used. Bodies have no ids of their own: the
first of each frame is one person, the second another, as the data set's own tools take them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from sugar.datasets.class_names import class_names
from sugar.datasets.formats.parsing.ntu_cleaning import Cleaning, persons, tracks_by_rank
from sugar.datasets.formats.parsing.skeleton_text import parse_skeleton_text
from sugar.datasets.formats.source import Item, Plan, SourceFile, making_clip, one_each, read_one
from sugar.datasets.store.store import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import COCO17

FPS = 30.0
_MAX_BYTES = 64 * 1024**2
_NAME = re.compile(r"P(\d+)S(\d+)G\d+B\d+H\d+UC\d+LC\d+A(\d+)R(\d+)_\d+")


@cache
def _names() -> tuple[str, ...]:
    return class_names("uav_human")


@dataclass(frozen=True)
class UavHumanReader:
    """UAV-Human: a folder or archive of its ``.txt`` skeleton files; subject P, setup S, trial R."""

    max_persons: int = 2
    """Keep this many persons, those with most motion (0: all)."""

    def __post_init__(self) -> None:
        if self.max_persons < 0:
            raise InputError("UAV-Human: max_persons must not be negative")

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """Each ``.txt`` file is a clip.

        Raises:
            InputError: there is none.
        """
        return Plan(one_each(files, ".txt"), COCO17, _names(), self.read)

    def read(self, item: Item) -> Iterator[SkeletonClip | Rejected]:
        """The clip of one file.

        Raises:
            InputError: a name of another form, an action beyond 154, or damaged text.
        """
        yield self.clip(item.files[0], named=True)

    def clip(self, file: SourceFile, *, named: bool) -> SkeletonClip:
        """The clip of one file; ``named``: its name must have the data set's form."""
        match = _NAME.fullmatch(file.stem)
        subject, setup, trial, label = None, None, None, None
        if match:
            subject, setup, action, trial = (int(number) for number in match.groups())
            if action >= len(_names()):
                raise InputError(f"action {action} is not one of UAV-Human's 0 to {len(_names()) - 1}")
            label = _names()[action]
        elif named:
            raise InputError("the file name is not of the form PpppSssG..B..H..UC......LC......AaaaRr_mmddhhmm.txt")
        sightings = parse_skeleton_text(file.read(_MAX_BYTES), COCO17.num_joints, kinect=False)
        cleaning = Cleaning(short_track=0, wide_share=float("inf"), max_persons=self.max_persons or None)
        joints, _ = persons(sightings, tracks_by_rank(sightings), cleaning)
        with making_clip(file.stem, label):
            return SkeletonClip(
                joints=joints[..., :2],
                layout=COCO17,
                fps=FPS,
                clip_id=file.stem,
                label=label,
                subject=subject,
                setup=setup,
                trial=trial,
            )


def read_clip_file(path: str | Path) -> SkeletonClip:
    """Read one skeleton file of any name.

    Raises:
        InputError: the file is absent, truncated or holds no valid clip.
    """
    return read_one(path, partial(UavHumanReader().clip, named=False))
