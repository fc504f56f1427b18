"""UTD-MHAD: MATLAB clips ``aA_sS_tT_skeleton.mat`` of 20 Kinect joints.

Chen et al., "UTD-MHAD: a multimodal dataset for human action recognition utilizing a depth camera and a
wearable inertial sensor", ICIP 2015; each file holds ``d_skel`` [20][3][T] in metres. Reading needs SciPy.
"""

import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sugar.datasets.class_names import class_names
from sugar.datasets.reading import Item, Plan, SourceFile, one_each, single_file
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20

CLASSES = class_names("utd_mhad")

# The order of the joints in the files, after the list that comes with them; the sensor's axes are Kinect's.
_LIMBS = (("shoulder", "elbow", "wrist", "hand"), ("hip", "knee", "ankle", "foot"))
_FILE_ORDER = [
    *("head", "shoulder_centre", "spine", "hip_centre"),
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
            InputError: no ``.mat`` file, or SciPy is not installed.
        """
        _require_scipy()
        return Plan(one_each(files, ".mat"), KINECT20, CLASSES, self.read)

    def read(self, item: Item) -> Iterator[SkeletonClip]:
        """The clip of one file."""
        (file,) = item.files
        yield _parse(file.read(), file.stem, named_by_protocol=True)


def read_clip_file(path: str | Path) -> SkeletonClip:
    """Read one ``.mat`` clip, of any name; label and numbers are taken from the name where it has UTD-MHAD's form.

    Raises:
        InputError: the file is absent, truncated, or not a valid clip, or SciPy is not installed.
    """
    (file,) = single_file(path).files
    try:
        _require_scipy()
        return _parse(file.read(), file.stem, named_by_protocol=False)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _require_scipy() -> None:
    try:
        import scipy.io  # noqa: F401
    except ImportError:
        raise InputError("reading .mat files needs SciPy: pip install 'sugar[mat]'") from None


def _parse(content: bytes, stem: str, *, named_by_protocol: bool) -> SkeletonClip:
    match = _NAME.fullmatch(stem)
    label, subject, trial = None, None, None
    if match:
        action, subject, trial = (int(number) for number in match.groups())
        if not 1 <= action <= len(CLASSES):
            raise InputError(f"action {action} of the file name is not one of UTD-MHAD's {len(CLASSES)}")
        label = CLASSES[action - 1]
    elif named_by_protocol:
        raise InputError("the file name is not of the form aA_sS_tT_skeleton.mat")
    try:
        return SkeletonClip(
            joints=_joints(content)[:, None],  # one person
            layout=KINECT20,
            clip_id=stem.removesuffix("_skeleton"),
            label=label,
            subject=subject,
            trial=trial,
        )
    except InputError as error:
        clip = f"clip {stem.removesuffix('_skeleton')!r}: "
        raise InputError(str(error).removeprefix(clip)) from None


def _joints(content: bytes) -> npt.NDArray[np.float32]:
    """``[T, 20, 3]`` in the order of `KINECT20`."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        skeleton = loadmat(io.BytesIO(content), variable_names=["d_skel"]).get("d_skel")
    except (MatReadError, NotImplementedError, ValueError, TypeError, KeyError, EOFError, OSError, zlib.error) as error:
        # SciPy's own words may run over several lines.
        raise InputError(f"truncated or not a MATLAB file ({str(error).splitlines()[0]})") from None
    if skeleton is None:
        raise InputError("it has no variable 'd_skel'")
    if skeleton.ndim == 2:  # MATLAB drops the last dimension of a single frame
        skeleton = skeleton[..., None]
    if skeleton.dtype.kind not in "fiu" or skeleton.shape[:2] != (KINECT20.num_joints, 3) or skeleton.ndim != 3:
        raise InputError(
            f"'d_skel' must be numbers [{KINECT20.num_joints} joints][3][frames], "
            f"not {skeleton.dtype} of shape {skeleton.shape}"
        )
    # What is too large for float32 becomes infinite here; the clip then says where it stands.
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(skeleton.transpose(2, 0, 1)[:, _TO_KINECT20], dtype=np.float32)
