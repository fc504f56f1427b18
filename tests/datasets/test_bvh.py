"""BVH against a slow scalar kinematics of its own, the names of the usual rigs, and damaged files."""

import math
import random
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.formats.bvh import BvhReader, parse_bvh, read_clip_file
from sugar.datasets.formats.custom import CustomReader
from sugar.datasets.formats.source import Item, SourceFile, opened
from sugar.datasets.store.export import write_files
from sugar.datasets.store.importing import import_data
from sugar.datasets.store.manifest import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import PARTS, JointLayout
from sugar.skeleton.layouts import KINECT20, NTU25, SMPL24


@dataclass
class Joint:
    name: str
    offset: tuple[float, ...]
    channels: list[str] = field(default_factory=list)
    children: list["Joint"] = field(default_factory=list)

    def walk(self) -> list["Joint"]:
        return [self, *(j for child in self.children for j in child.walk())]


def hierarchy(joint: Joint, depth: int = 0) -> str:
    tab = "\t" * depth
    kind = "ROOT" if depth == 0 else "JOINT"
    head = f"{tab}End Site" if joint.name == "End Site" else f"{tab}{kind} {joint.name}"
    lines = [head, tab + "{", f"{tab}\tOFFSET {' '.join(map(repr, joint.offset))}"]
    if joint.channels:
        lines.append(f"{tab}\tCHANNELS {len(joint.channels)} {' '.join(joint.channels)}")
    return "\n".join([*lines, *(hierarchy(child, depth + 1) for child in joint.children), tab + "}"])


def written(root: Joint, motion: list[list[float]], frame_time: str = "0.0333333") -> str:
    rows = "\n".join(" ".join(map(repr, row)) for row in motion)
    return f"HIERARCHY\n{hierarchy(root)}\nMOTION\nFrames: {len(motion)}\nFrame Time: {frame_time}\n{rows}\n"


def product(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    return [[sum(a[i][k] * b[k][j] for k in range(3)) for j in range(3)] for i in range(3)]


def turn(axis: str, degrees: float) -> list[list[float]]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return {
        "X": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "Y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "Z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]


def positions(root: Joint, row: list[float]) -> list[list[float]]:
    """Joint by joint and number by number, in the order of the file."""
    values, found = iter(row), []

    def go(joint: Joint, axes: list[list[float]], at: list[float], is_root: bool) -> None:
        offset = list(joint.offset)
        turned = axes
        for channel in joint.channels:
            value = next(values)
            if channel.endswith("position"):
                offset["XYZ".index(channel[0])] = value + (joint.offset["XYZ".index(channel[0])] if is_root else 0)
            else:
                turned = product(turned, turn(channel[0], value))
        place = [at[i] + sum(axes[i][k] * offset[k] for k in range(3)) for i in range(3)]
        found.append(place)
        for child in joint.children:
            go(child, turned, place, False)

    go(root, [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [0.0, 0.0, 0.0], True)
    return found


def random_rig(rng: random.Random) -> Joint:
    def offset() -> tuple[float, ...]:
        return tuple(round(rng.uniform(-30, 30), 4) for _ in range(3))

    def channels(is_root: bool) -> list[str]:
        rotations = [f"{a}rotation" for a in rng.sample("XYZ", 3 if rng.random() < 0.8 else rng.randint(1, 2))]
        moves = [f"{a}position" for a in rng.sample("XYZ", 3)] if is_root or rng.random() < 0.2 else []
        return moves + rotations if rng.random() < 0.8 else rotations + moves

    root = Joint("J0", offset(), channels(True))
    joints = [root]
    for i in range(1, rng.randint(3, 14)):
        parent = rng.choice(joints)
        parent.children.append(Joint(f"J{i}", offset(), channels(False)))
        joints.append(parent.children[-1])
    for joint in joints:
        if not joint.children:
            joint.children.append(Joint("End Site", offset()))
    return root


def layout_of(names: list[str]) -> JointLayout:
    return JointLayout(
        name="rig",
        joint_names=tuple(names),
        bones=tuple((j, 0) for j in range(1, len(names))),
        root=0,
        parts={part: tuple(range(len(names))) if part == "hip" else () for part in PARTS},
        pairs=(),
    )


def clip_of(path: Path, **options: object) -> SkeletonClip:
    item = Item(path.name, (SourceFile(path.name, path, path.stat().st_size),))
    (clip,) = BvhReader(**options).read(item)  # type: ignore[arg-type]
    return clip


@pytest.mark.parametrize("seed", range(25))
def test_forward_kinematics_of_random_trees(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    root = random_rig(rng)
    width = sum(len(joint.channels) for joint in root.walk())
    motion = [[round(rng.uniform(-180, 180), 5) for _ in range(width)] for _ in range(rng.randint(1, 6))]
    (tmp_path / "a.bvh").write_text(written(root, motion))
    rig, _, fps = parse_bvh((tmp_path / "a.bvh").read_bytes())
    layout_of(rig.names).to_json(tmp_path / "rig.json")
    clip = clip_of(tmp_path / "a.bvh", layout=str(tmp_path / "rig.json"), scale=0.01)
    expected = np.array([positions(root, row) for row in motion]) * 0.01
    assert clip.joints.shape == (len(motion), 1, len(root.walk()), 3)
    np.testing.assert_allclose(clip.joints[:, 0], expected, rtol=0, atol=1e-6)
    assert np.mean(clip.joints[:, 0] == expected.astype(np.float32)) > 0.99  # equal but for the last bit of float64
    assert fps == 30
    upright = clip_of(tmp_path / "a.bvh", layout=str(tmp_path / "rig.json"), scale=1.0, up="z", fps=12.5)
    np.testing.assert_allclose(upright.joints[:, 0], 100 * expected[..., [0, 2, 1]] * [1, 1, -1], rtol=0, atol=1e-4)
    assert upright.fps == 12.5


# Each rig: by role of the body its joint names; the tree and the places are the same.
CMU = {
    **{"hip_center": "Hips", "low": "LowerBack", "mid": "Spine", "top": "Spine1", "shoulder_center": "Neck"},
    "head": "Head",
    **{"collar": "*Shoulder", "shoulder": "*Arm", "elbow": "*ForeArm", "wrist": "*Hand", "knuckle": "*FingerBase"},
    **{"hip": "*UpLeg", "knee": "*Leg", "ankle": "*Foot", "foot": "*ToeBase"},
}
RIGS = {
    "CMU": CMU,
    "Mixamo": {role: f"mixamorig:{name}" for role, name in CMU.items()} | {"knuckle": "mixamorig:*HandMiddle1"},
    "Rokoko": CMU | {"hip": "*Thigh", "knee": "*Shin", "foot": "*Toe", "knuckle": "*Finger2"},
    "Biovision": CMU
    | {"collar": "*Collar", "shoulder": "*Shoulder", "elbow": "*Elbow", "wrist": "*Wrist", "knuckle": "*Hand"}
    | {"hip": "*Hip", "knee": "*Knee", "ankle": "*Ankle", "foot": "*Toe"},
    "Biped": {
        **{"hip_center": "Bip01 Pelvis", "low": "Bip01 Spine", "mid": "Bip01 Spine1", "top": "Bip01 Spine2"},
        **{"shoulder_center": "Bip01 Neck", "head": "Bip01 Head", "collar": "Bip01 ? Clavicle"},
        **{"shoulder": "Bip01 ? UpperArm", "elbow": "Bip01 ? Forearm", "wrist": "Bip01 ? Hand"},
        **{"knuckle": "Bip01 ? Finger2", "hip": "Bip01 ? Thigh", "knee": "Bip01 ? Calf", "ankle": "Bip01 ? Foot"},
        "foot": "Bip01 ? Toe0",
    },
    "blender": {
        **{"hip_center": "hips", "low": "spine", "mid": "spine.001", "top": "chest", "shoulder_center": "neck"},
        **{"head": "head", "collar": "shoulder.?", "shoulder": "upper_arm.?", "elbow": "forearm.?", "wrist": "hand.?"},
        **{"knuckle": "f_middle.?", "hip": "thigh.?", "knee": "shin.?", "ankle": "foot.?", "foot": "toe.?"},
    },
}
OFFSETS: dict[str, tuple[float, ...]] = {
    **{"hip_center": (0, 0, 0), "low": (0, 10, 0), "mid": (0, 12, 0), "top": (0, 14, 0), "shoulder_center": (0, 14, 0)},
    **{"head": (0, 10, 2), "collar": (3, -2, 0), "shoulder": (14, 0, 0), "elbow": (28, 0, 0), "wrist": (25, 0, 0)},
    **{"knuckle": (8, 0, 0), "hip": (9, -4, 0), "knee": (0, -42, 0), "ankle": (0, -40, 0), "foot": (0, -5, 12)},
}  # fmt: skip
PARENTS = {
    **{"low": "hip_center", "mid": "low", "top": "mid", "shoulder_center": "top", "head": "shoulder_center"},
    **{"collar": "top", "shoulder": "collar", "elbow": "shoulder", "wrist": "elbow", "knuckle": "wrist"},
    **{"hip": "hip_center", "knee": "hip", "ankle": "knee", "foot": "ankle"},
}


def rig_of(names: dict[str, str]) -> tuple[Joint, dict[str, str]]:
    """The rig and, by joint of the body, the name of its joint."""
    joints: dict[str, Joint] = {}
    said: dict[str, str] = {}
    for role, pattern in names.items():
        for side in ("left", "right") if role in OFFSETS and re.search(r"[*?]", pattern) else ("",):
            name = pattern.replace("*", side.title()).replace("?", side[:1].upper())
            x, y, z = OFFSETS[role]
            channels = [f"{a}rotation" for a in "ZXY"]
            key = f"{side}_{role}".lstrip("_")
            joints[key] = Joint(name, (-x if side == "right" else x, y, z), channels)
            said[key] = name
            if role in PARENTS:
                (joints.get(f"{side}_{PARENTS[role]}") or joints[PARENTS[role]]).children.append(joints[key])
    joints["hip_center"].channels = ["Xposition", "Yposition", "Zposition", *joints["hip_center"].channels]
    for joint in joints.values():
        if not joint.children:
            joint.children.append(Joint("End Site", (0.0, 4.0, 0.0)))
    return joints["hip_center"], said


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("layout", [KINECT20, SMPL24, NTU25])
def test_the_joints_of_the_usual_rigs_are_found(tmp_path: Path, rig: str, layout: JointLayout) -> None:
    root, said = rig_of(RIGS[rig])
    rng = random.Random(1)
    width = sum(len(joint.channels) for joint in root.walk())
    motion = [[rng.uniform(-40, 40) for _ in range(width)] for _ in range(3)]
    (tmp_path / "a.bvh").write_text(written(root, motion, "0.00833333"))
    clip = clip_of(tmp_path / "a.bvh", layout=layout.name)
    assert (clip.fps, clip.layout) == (120.0, layout)
    places = np.array([positions(root, row) for row in motion]) * 0.01
    by_name = {joint.name: places[:, j] for j, joint in enumerate(root.walk()) if joint.name != "End Site"}
    same = {"hip_center": "pelvis", "shoulder_center": "neck"} if layout == SMPL24 else {}
    same |= {"hip_center": "spine_base", "shoulder_center": "spine_shoulder"} if layout == NTU25 else {}
    checked = 0
    for role, name in said.items():
        joint = same.get(role, role)
        if joint in layout.joint_names and (joint != "head" or layout == SMPL24):
            found = clip.joints[:, 0, layout.index(joint)]
            np.testing.assert_allclose(found, by_name[name], atol=1e-6, err_msg=f"{joint} is not {name}")
            checked += 1
    assert checked >= 16
    if layout == SMPL24:
        for i, role in enumerate(("low", "mid", "top"), 1):
            np.testing.assert_allclose(clip.joints[:, 0, layout.index(f"spine{i}")], by_name[said[role]], atol=1e-6)
    else:
        head = clip.joints[:, 0, layout.index("head")]
        np.testing.assert_allclose(np.linalg.norm(head - by_name[said["head"]], axis=1), 0.02, atol=1e-6)
    assert clip.joints.any(axis=3).all()  # every joint is measured or estimated


def test_a_plan_with_labels_and_a_zip(tmp_path: Path) -> None:
    root, _ = rig_of(CMU)
    width = sum(len(joint.channels) for joint in root.walk())
    text = written(root, [[0.0] * width] * 2)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("walk/S01_a.BVH", text)
        archive.writestr("run/S02_b.bvh", text)
        archive.writestr("run/S03_c.bvh", text[:300])
    with opened(tmp_path / "a.zip", tmp_path / "scratch") as files:
        plan = BvhReader(pattern=r"S(?P<subject>\d+)_").plan(files)
        clips, faults = [], []
        for item in plan.items:
            try:
                clips += list(plan.read(item))
            except InputError as error:
                faults.append((item.name, str(error)))
    assert [(c.clip_id, c.label, c.subject) for c in clips if not isinstance(c, Rejected)] == [
        ("run/S02_b", "run", 2),
        ("walk/S01_a", "walk", 1),
    ]
    assert [name for name, _ in faults] == ["run/S03_c.bvh"]
    # A rig that stands at the origin has its hips there all the same.
    assert clips[0].joints[:, 0, 0].any()  # type: ignore[union-attr]
    store = import_data(BvhReader(), tmp_path / "a.zip", tmp_path / "store", name="mine", workers=1)
    write_files(store, tmp_path / "files", "json")
    back = import_data(CustomReader(), tmp_path / "files", tmp_path / "back", name="mine", workers=1)
    assert (len(back), back.hash) == (2, store.hash)
    for bad in ({"scale": 0.0}, {"layout": "coco17"}, {"layout": "octopus"}, {"pattern": "("}, {"label": "filename"}):
        with pytest.raises(InputError):
            BvhReader(**bad).plan(files)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"no \.bvh file"):
        BvhReader().plan(())


ROOT, _ = rig_of(CMU)
WIDTH = sum(len(joint.channels) for joint in ROOT.walk())
MOTION = np.random.default_rng(0).uniform(-90, 90, (4, WIDTH)).round(3).tolist()
GOOD = written(ROOT, MOTION)
LAST = GOOD.splitlines()[-1]

DAMAGE = {
    "empty": ("", "not a BVH file"),
    "other text": ("hello\nMOTION\n", "not a BVH file"),
    "hierarchy cut": (GOOD[:700], "not a BVH file"),
    "block not closed": (GOOD.replace("\n}\nMOTION", "\nMOTION"), "a block is not closed"),
    "one block too many": (GOOD.replace("\nMOTION", "\n}\nMOTION"), "'}' is out of place"),
    "last frame cut": (GOOD[:-40], "frame 3 has"),
    "frame missing": (GOOD.removesuffix(LAST + "\n"), "says 4 frames, but 3 lines"),
    "a number missing": (GOOD.replace(LAST, LAST.split(" ", 1)[1]), f"frame 3 has {WIDTH - 1} numbers"),
    "huge frame count": (GOOD.replace("Frames: 4", "Frames: 4000000000"), "says 4e\\+09 frames"),
    "endless frame count": (GOOD.replace("Frames: 4", "Frames: " + "9" * 400), "is not a number"),
    "half a frame": (GOOD.replace("Frames: 4", "Frames: 4.5"), "says 4.5 frames"),
    "no frame count": (GOOD.replace("Frames: 4", "Frame: 4"), "no line 'Frames:'"),
    "no frame time": (GOOD.replace("Frame Time: 0.0333333", "Frame Time: soon"), "'soon' is not a number"),
    "frame time zero": (GOOD.replace("Frame Time: 0.0333333", "Frame Time: 0"), "Frame Time must be"),
    "letters": (GOOD.replace(LAST, LAST.replace(LAST.split()[5], "abc", 1)), "frame 3: 'abc' is not a number"),
    "nan": (GOOD.replace(LAST, LAST.replace(LAST.split()[5], "nan", 1)), "frame 3: 'nan' is not a number"),
    "infinite": (GOOD.replace(LAST, LAST.replace(LAST.split()[5], "inf", 1)), "frame 3: 'inf' is not a number"),
    "underscore": (GOOD.replace(LAST, LAST.replace(LAST.split()[5], "1_0", 1)), "'1_0' is not a number"),
    "offset of letters": (GOOD.replace("OFFSET 0 10 0", "OFFSET 0 x 0"), "OFFSET 'x' is not a number"),
    "offset of two": (GOOD.replace("OFFSET 0 10 0", "OFFSET 0 10"), "out of place"),
    "no offset": (GOOD.replace("\tOFFSET 0 10 0\n", ""), "LowerBack has no OFFSET"),
    "wrong channel count": (GOOD.replace("CHANNELS 6", "CHANNELS 600000000"), "CHANNELS must be"),
    "unknown channel": (GOOD.replace("CHANNELS 6 Xposition", "CHANNELS 6 Wposition"), "CHANNELS must be"),
    "channel twice": (GOOD.replace("CHANNELS 6 Xposition", "CHANNELS 6 Yposition"), "CHANNELS must be"),
    "two roots": (GOOD.replace("JOINT LowerBack", "ROOT LowerBack"), "one ROOT"),
    "joint twice": (GOOD.replace("JOINT LeftLeg", "JOINT LeftFoot"), "'LeftFoot' is there twice"),
    "other names": (re.sub(r"JOINT \w+?([A-Z]\w*)", lambda m: f"JOINT q{len(m[0])}_{m.start()}", GOOD), "is the left_"),
    "nested deeply": (
        "HIERARCHY\nROOT a\n{\n" + "".join(f"JOINT a{i}\n{{\nOFFSET 0 0 0\n" for i in range(50_000)) + "MOTION\n",
        "more than 1000 joints",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_clear_line(tmp_path: Path, case: str) -> None:
    text, message = DAMAGE[case]
    assert text != GOOD
    (tmp_path / "a.bvh").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_clip_file(tmp_path / "a.bvh")
    assert str(error.value).startswith(f"{tmp_path / 'a.bvh'}: ")
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.bvh").write_bytes(GOOD.encode().replace(b"LeftLeg", b"Left\xff\xfe"))
    with pytest.raises(InputError, match="not text in UTF-8"):
        read_clip_file(tmp_path / "a.bvh")
    with pytest.raises(InputError, match="no such file"):
        read_clip_file(tmp_path / "b.bvh")
    (tmp_path / "c.bvh").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())  # from Windows
    assert read_clip_file(tmp_path / "c.bvh").num_frames == 4


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_cut_or_change_gives_an_error_or_the_numbers_of_the_file(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD) - 1))
    put = data.draw(st.sampled_from(["", "x", "{", "}", "-", "1", " ", "\n", "é", "9" * 30]))
    text = GOOD[:at] if data.draw(st.booleans()) else GOOD[:at] + put + GOOD[at + 1 :]
    try:
        rig, motion, fps = parse_bvh(text.encode())
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError("an error of several lines") from error
        return
    assert len(motion) <= 5
    assert 0 < fps <= 10_000
    assert len(rig.names) <= len(ROOT.walk())
    if motion.shape == (4, WIDTH):
        assert (motion != np.array(MOTION)).sum() <= 2
