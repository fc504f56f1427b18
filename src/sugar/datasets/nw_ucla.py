"""Northwestern-UCLA Multiview Action 3D: JSON clips ``aAA_sSS_eEE_vVV.json`` of 20 Kinect joints.

Wang et al., "Cross-view action modeling, learning and recognition", CVPR 2014; the JSON form in common use
holds ``file_name``, ``skeletons`` [T][20][3] in metres and ``label`` 1..10.
"""

import json
import lzma
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sugar.datasets.store import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import KINECT20

CLASSES = (
    "pick up with one hand",
    "pick up with two hands",
    "drop trash",
    "walk around",
    "sit down",
    "stand up",
    "donning",
    "doffing",
    "throw",
    "carry",
)

# The files number their actions 1 to 12 and leave out 7 and 10.
_CLASS_OF_ACTION = dict(zip((1, 2, 3, 4, 5, 6, 8, 9, 11, 12), CLASSES, strict=True))
_NAME = re.compile(r"a(\d+)_s(\d+)_e(\d+)_v(\d+)")


def read_nw_ucla(source: str | Path) -> Iterator[SkeletonClip | Rejected]:
    """Read all clips of a folder (searched recursively) or of a tar archive, one at a time.

    A file that holds no valid clip yields a :class:`Rejected` row with the reason. Files of a folder come
    sorted by name, members of an archive in its own order; files that are not ``.json`` are passed over.

    Raises:
        InputError: the source does not exist, is no archive, is cut short, or holds no JSON file.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"{source}: there is no such folder or archive")
    found = False
    for name, content in _folder_files(source) if source.is_dir() else _archive_files(source):
        found = True
        try:
            yield _parse(content, name, named_by_protocol=True)
        except InputError as error:
            yield Rejected(name, str(error).removeprefix(f"{name}: "))
    if not found:
        raise InputError(f"{source}: it holds no .json file")


def read_clip_file(path: str | Path) -> SkeletonClip:
    """Read one JSON clip, of any name; label and numbers are taken from the name where it has NW-UCLA's form.

    Raises:
        InputError: the file is absent, truncated, or not a valid clip.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    return _parse(content, str(path), named_by_protocol=False)


def _folder_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*.json")):
        if not path.name.startswith("."):
            yield str(path.relative_to(folder)), path.read_bytes()


def _archive_files(archive: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(archive, mode="r|*") as packed:
            for member in packed:
                name = Path(member.name)
                file = packed.extractfile(member) if member.isfile() else None
                if file is not None and name.suffix == ".json" and not name.name.startswith("."):
                    yield member.name, file.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise InputError(f"{archive}: not a readable tar archive ({error})") from None


def _parse(content: bytes, name: str, *, named_by_protocol: bool) -> SkeletonClip:
    stem = Path(name).stem
    match = _NAME.fullmatch(stem)
    label, subject, trial, camera = None, None, None, None
    if match:
        action, subject, trial, camera = (int(number) for number in match.groups())
        if action not in _CLASS_OF_ACTION:
            raise InputError(f"{name}: action {action} of the file name is not one of NW-UCLA's ten")
        label = _CLASS_OF_ACTION[action]
    elif named_by_protocol:
        raise InputError(f"{name}: the file name is not of the form aAA_sSS_eEE_vVV.json")
    try:
        data = json.loads(content)
    except ValueError as error:
        raise InputError(f"{name}: truncated or not JSON ({error})") from None
    if not isinstance(data, dict) or not isinstance(data.get("skeletons"), list):
        raise InputError(f"{name}: it needs an object with a list 'skeletons' of frames")
    if label is not None and "label" in data and data["label"] != CLASSES.index(label) + 1:
        raise InputError(f"{name}: its label {data['label']} contradicts its file name ({label})")
    try:
        # What is too large for float32 becomes infinite here; the clip then says where it stands.
        with np.errstate(over="ignore"):
            joints = np.array(data["skeletons"], dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name}: {_first_fault(data['skeletons'])}") from None
    if len(joints) == 0:
        raise InputError(f"{name}: it has no frames")
    if joints.ndim != 3:
        raise InputError(f"{name}: 'skeletons' must be [frames][joints][3], not of shape {joints.shape}")
    try:
        return SkeletonClip(
            joints=joints[:, None],  # one person
            layout=KINECT20,
            clip_id=stem,
            label=label,
            subject=subject,
            camera=camera,
            trial=trial,
        )
    except InputError as error:
        raise InputError(f"{name}: {str(error).removeprefix(f'clip {stem!r}: ')}") from None


def _first_fault(frames: list[object]) -> str:
    """Which frame keeps ``frames`` from being a regular array of numbers."""
    for t, frame in enumerate(frames):
        if not isinstance(frame, list) or len(frame) != KINECT20.num_joints:
            count = len(frame) if isinstance(frame, list) else "no"
            return f"frame {t} has {count} joints, but layout {KINECT20.name} has {KINECT20.num_joints}"
        for joint, position in zip(KINECT20.joint_names, frame, strict=True):
            if not isinstance(position, list) or len(position) != 3:
                return f"{joint} in frame {t} is not three coordinates"
            if not all(isinstance(x, int | float) for x in position):
                return f"{joint} in frame {t} has a coordinate that is not a number"
    return "'skeletons' is not a regular array of numbers"
