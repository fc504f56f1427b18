"""UTD-MHAD: MATLAB clips ``aA_sS_tT_skeleton.mat`` of 20 Kinect joints.

Chen et al., "UTD-MHAD: a multimodal dataset for human action recognition utilizing a depth camera and a
wearable inertial sensor", ICIP 2015; each file holds ``d_skel`` [20][3][T] in metres. Reading needs SciPy.
"""

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sugar.datasets.store import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import KINECT20

CLASSES = (
    "swipe left",
    "swipe right",
    "wave",
    "clap",
    "throw",
    "cross arms",
    "basketball shoot",
    "draw x",
    "draw circle clockwise",
    "draw circle counter clockwise",
    "draw triangle",
    "bowling",
    "boxing",
    "baseball swing",
    "tennis swing",
    "arm curl",
    "tennis serve",
    "push",
    "knock on door",
    "catch",
    "pick up and throw",
    "jog",
    "walk",
    "sit to stand",
    "stand to sit",
    "lunge",
    "squat",
)

# The order of the joints in the files, after the list that comes with them; the sensor's axes are Kinect's.
_LIMBS = (("shoulder", "elbow", "wrist", "hand"), ("hip", "knee", "ankle", "foot"))
_FILE_ORDER = [
    *("head", "shoulder_centre", "spine", "hip_centre"),
    *(f"{side}_{joint}" for limb in _LIMBS for side in ("left", "right") for joint in limb),
]
_TO_KINECT20 = [_FILE_ORDER.index(name) for name in KINECT20.joint_names]
_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_skeleton")


def read_utd_mhad(source: str | Path) -> Iterator[SkeletonClip | Rejected]:
    """Read all clips of a folder (searched recursively) or of a tar or zip archive, one at a time.

    A file that holds no valid clip yields a :class:`Rejected` row with the reason. Files of a folder come
    sorted by name, members of an archive in its own order; files that are not ``.mat`` are passed over.

    Raises:
        InputError: the source does not exist, is no archive, is cut short, holds no ``.mat`` file, or SciPy
            is not installed.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"{source}: there is no such folder or archive")
    _require_scipy(source)
    if source.is_dir():
        files = _folder_files(source)
    else:
        files = _zip_files(source) if zipfile.is_zipfile(source) else _tar_files(source)
    found = False
    for name, content in files:
        found = True
        try:
            yield _parse(content, name, named_by_protocol=True)
        except InputError as error:
            yield Rejected(name, str(error).removeprefix(f"{name}: "))
    if not found:
        raise InputError(f"{source}: it holds no .mat file")


def read_clip_file(path: str | Path) -> SkeletonClip:
    """Read one ``.mat`` clip, of any name; label and numbers are taken from the name where it has UTD-MHAD's form.

    Raises:
        InputError: the file is absent, truncated, or not a valid clip, or SciPy is not installed.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    _require_scipy(path)
    return _parse(content, str(path), named_by_protocol=False)


def _require_scipy(where: Path) -> None:
    try:
        import scipy.io  # noqa: F401
    except ImportError:
        raise InputError(f"{where}: reading .mat files needs SciPy: pip install 'sugar[mat]'") from None


def _is_clip(name: str) -> bool:
    return Path(name).suffix == ".mat" and not Path(name).name.startswith(".")


def _folder_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*.mat")):
        if _is_clip(path.name):
            yield str(path.relative_to(folder)), path.read_bytes()


def _tar_files(archive: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(archive, mode="r|*") as packed:
            for member in packed:
                file = packed.extractfile(member) if member.isfile() and _is_clip(member.name) else None
                if file is not None:
                    yield member.name, file.read()
    except (tarfile.TarError, LZMAError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{archive}: not a readable tar or zip archive ({error})") from None


def _zip_files(archive: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(archive) as packed:
            for name in packed.namelist():
                if _is_clip(name):
                    yield name, packed.read(name)
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, zlib.error) as error:
        raise InputError(f"{archive}: not a readable tar or zip archive ({error})") from None


def _parse(content: bytes, name: str, *, named_by_protocol: bool) -> SkeletonClip:
    stem = Path(name).stem
    match = _NAME.fullmatch(stem)
    label, subject, trial = None, None, None
    if match:
        action, subject, trial = (int(number) for number in match.groups())
        if not 1 <= action <= len(CLASSES):
            raise InputError(f"{name}: action {action} of the file name is not one of UTD-MHAD's {len(CLASSES)}")
        label = CLASSES[action - 1]
    elif named_by_protocol:
        raise InputError(f"{name}: the file name is not of the form aA_sS_tT_skeleton.mat")
    try:
        return SkeletonClip(
            joints=_joints(content, name)[:, None],  # one person
            layout=KINECT20,
            clip_id=stem.removesuffix("_skeleton"),
            label=label,
            subject=subject,
            trial=trial,
        )
    except InputError as error:
        clip = f"clip {stem.removesuffix('_skeleton')!r}: "
        raise InputError(f"{name}: {str(error).removeprefix(f'{name}: ').removeprefix(clip)}") from None


def _joints(content: bytes, name: str) -> npt.NDArray[np.float32]:
    """``[T, 20, 3]`` in the order of `KINECT20`."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        skeleton = loadmat(io.BytesIO(content), variable_names=["d_skel"]).get("d_skel")
    except (MatReadError, NotImplementedError, ValueError, TypeError, KeyError, EOFError, OSError, zlib.error) as error:
        # SciPy's own words may run over several lines.
        raise InputError(f"{name}: truncated or not a MATLAB file ({str(error).splitlines()[0]})") from None
    if skeleton is None:
        raise InputError(f"{name}: it has no variable 'd_skel'")
    if skeleton.ndim == 2:  # MATLAB drops the last dimension of a single frame
        skeleton = skeleton[..., None]
    if skeleton.dtype.kind not in "fiu" or skeleton.shape[:2] != (KINECT20.num_joints, 3) or skeleton.ndim != 3:
        raise InputError(
            f"{name}: 'd_skel' must be numbers [{KINECT20.num_joints} joints][3][frames], "
            f"not {skeleton.dtype} of shape {skeleton.shape}"
        )
    # What is too large for float32 becomes infinite here; the clip then says where it stands.
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(skeleton.transpose(2, 0, 1)[:, _TO_KINECT20], dtype=np.float32)
