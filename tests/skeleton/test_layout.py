import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sugar.errors import InputError
from sugar.facts.measure import measure
from sugar.models.encoders import CTRGCN, CTRGCNConfig, PatchGCN, PatchGCNConfig
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import PARTS, JointLayout
from sugar.skeleton.layouts import (
    BLAZEPOSE33,
    BLAZEPOSE33_2D,
    COCO17,
    HALPE26,
    KINECT15,
    KINECT20,
    LAYOUTS,
    NTU25,
    OPENPOSE18,
    OPENPOSE25,
    SMARTHOME13,
    SMARTHOME13_3D,
    SMPL24,
    get_layout,
    with_dimension,
)
from sugar.transforms.augment import AugmentConfig, augment
from sugar.transforms.batches import ClipBatch, PreprocessConfig, preprocess


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_built_in_layouts_are_whole(layout: JointLayout) -> None:
    assert sorted(j for part in PARTS for j in layout.parts[part]) == list(range(layout.num_joints))
    assert [layout.mirror[m] for m in layout.mirror] == list(range(layout.num_joints))
    for left, right in layout.pairs:
        name = layout.joint_names[left]
        assert layout.joint_names[right] == name.replace("left_", "right_")
    for joint in range(layout.num_joints):
        while joint != layout.root:
            joint = layout.parents[joint]


def test_known_joints_stand_where_the_sensors_put_them() -> None:
    assert (KINECT20.num_joints, NTU25.num_joints) == (20, 25)
    assert [KINECT20.index(n) for n in ("head", "left_wrist", "right_hand", "left_hip", "right_foot")] == [
        *(3, 6, 11, 12, 19)
    ]
    assert [NTU25.index(n) for n in ("neck", "spine_shoulder", "left_hand_tip", "right_thumb")] == [
        2,
        20,
        21,
        24,
    ]
    assert NTU25.joint_names[NTU25.parents[NTU25.index("left_thumb")]] == "left_hand"
    assert KINECT20.parents[KINECT20.root] == KINECT20.root


@pytest.mark.parametrize(
    ("layout", "count", "dimension", "joints"),
    [
        (KINECT15, 15, 3, {0: "head", 2: "torso", 5: "right_shoulder", 8: "left_knee", 11: "left_hand"}),
        (COCO17, 17, 2, {0: "nose", 1: "left_eye", 4: "right_ear", 9: "left_wrist", 16: "right_ankle"}),
        (SMARTHOME13, 13, 2, {0: "right_ankle", 1: "left_ankle", 6: "right_wrist", 11: "left_shoulder", 12: "head"}),
        (OPENPOSE18, 18, 2, {1: "neck", 2: "right_shoulder", 7: "left_wrist", 10: "right_ankle", 14: "right_eye"}),
        (OPENPOSE25, 25, 2, {8: "hip_center", 9: "right_hip", 17: "right_ear", 19: "left_big_toe", 24: "right_heel"}),
        (HALPE26, 26, 2, {6: "right_shoulder", 17: "head_top", 18: "neck", 19: "hip_center", 22: "left_small_toe"}),
        (
            BLAZEPOSE33,
            33,
            3,
            {1: "left_eye_inner", 9: "left_mouth", 18: "right_pinky", 23: "left_hip", 29: "left_heel"},
        ),
        (SMPL24, 24, 3, {0: "pelvis", 6: "spine2", 10: "left_foot", 13: "left_collar", 21: "right_wrist"}),
    ],
    ids=lambda value: value.name if isinstance(value, JointLayout) else "",
)
def test_orders_are_the_published_ones(layout: JointLayout, count: int, dimension: int, joints: dict) -> None:
    assert (layout.num_joints, layout.dimension) == (count, dimension)
    assert {index: layout.joint_names[index] for index in joints} == joints


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_tree_is_the_same_mirrored(layout: JointLayout) -> None:
    mirrored = {(layout.mirror[child], layout.mirror[parent]) for child, parent in layout.bones}
    assert mirrored == set(layout.bones)


def test_shoulders_and_hips_tell_the_heading_and_all_pairs_where_they_have_no_such_names() -> None:
    names = {KINECT20.joint_names[j] for pair in KINECT20.trunk_pairs for j in pair}
    assert names == {"left_shoulder", "right_shoulder", "left_hip", "right_hip"}
    other = replace(KINECT20, joint_names=tuple(f"marker_{j}" for j in range(20)))
    assert other.trunk_pairs == KINECT20.pairs
    assert (KINECT20.level_axes, replace(KINECT20, up=2).level_axes) == ((0, 2), (0, 1))


def test_a_layout_in_another_dimension() -> None:
    assert with_dimension(SMARTHOME13, 3) == SMARTHOME13_3D == get_layout("smarthome13_3d")
    assert with_dimension(SMARTHOME13, 2) is SMARTHOME13
    assert (BLAZEPOSE33_2D.dimension, BLAZEPOSE33_2D.bones) == (2, BLAZEPOSE33.bones)
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_goes_through_preprocessing_augmentation_encoders_and_measuring(layout: JointLayout) -> None:
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(24, 2, layout.num_joints, layout.dimension)).astype(np.float32)
    clip = SkeletonClip(joints, layout)
    assert measure(clip).people
    ready = torch.from_numpy(np.stack([preprocess(clip, PreprocessConfig())] * 3))
    batch = ClipBatch(ready, torch.tensor([24, 20, 16]), torch.ones(3, 2, dtype=torch.bool), *[torch.arange(3)] * 2)
    config = AugmentConfig(mirror=0.5, jitter=0.01, joint_drop=0.1)
    augmented = augment(batch, layout, config, 16, torch.Generator().manual_seed(0))
    assert augmented.joints.shape == (3, 16, 2, layout.num_joints, layout.dimension)
    small = CTRGCNConfig(channels=(16, 32), temporal_strides=(1, 2))
    of_body = PatchGCNConfig(streams=("body_posture", "body_velocity", "body_limb_velocity"))
    encoders = (
        PatchGCN(layout=layout),
        PatchGCN(layout=layout, config=of_body),
        CTRGCN(layout=layout, config=small),
    )
    for encoder in encoders:
        tokens, mask = encoder(augmented.joints, batch.persons)
        assert tokens.shape[:2] == mask.shape
        assert tokens.isfinite().all()
        assert tokens.std() > 0


def test_json_round_trip_and_lookup(tmp_path) -> None:
    path = tmp_path / "layout.json"
    NTU25.to_json(path)
    assert JointLayout.from_json(path) == NTU25 == get_layout(str(path))
    assert get_layout("kinect20") is KINECT20
    assert len({KINECT20, NTU25, JointLayout.from_json(path)}) == 2


def test_names_of_joints_are_read_in_any_case() -> None:
    text = json.dumps(KINECT20.to_dict()).replace("left_wrist", "Left Wrist").replace("hip_center", "HIP-Center")
    assert JointLayout.from_dict(json.loads(text)) == KINECT20
    lacking = {key: value for key, value in KINECT20.to_dict().items() if key != "root"}
    with pytest.raises(InputError, match="field 'root' is missing"):
        JointLayout.from_dict(lacking)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bones": KINECT20.to_dict()["bones"][1:]}, "spine is without a parent in bones"),
        ({"bones": [*KINECT20.to_dict()["bones"], ["head", "hip_center"]]}, "bones give head two parents"),
        ({"bones": [*KINECT20.to_dict()["bones"], ["hip_center", "head"]]}, "the root hip_center a parent"),
        ({"bones": [["head"]]}, r"pairs of joints, \[child, parent\] each, not \['head'\]"),
        ({"root": "tail"}, "root: 'tail' is not one of the joint_names"),
        ({"root": 25}, "joint 25"),
        ({"parts": {"head": ["head"]}}, "parts must be exactly"),
        ({"parts": {part: ["head"] for part in PARTS}}, "head is in the parts twice"),
        ({"parts": KINECT20.to_dict()["parts"] | {"foot": []}}, "left_foot and right_foot are in none of the parts"),
        ({"parts": KINECT20.to_dict()["parts"] | {"torso": []}}, "'torso' is none of them"),
        ({"pairs": [["left_hand", "right_hand"], ["left_hand", "left_foot"]]}, "left_hand is in two left/right pairs"),
        ({"pairs": [["left_hnad", "right_hand"]]}, "'left_hnad' is not one of the joint_names; did you mean left_hand"),
        ({"joint_names": []}, "'spine' is not one of the joint_names"),
        ({"joint_names": 3}, "not well formed"),
        ({"joint_names": [*KINECT20.joint_names, "Head"]}, "joint_names has head twice"),
        ({"dimension": 4}, "dimension"),
        ({"color": "red"}, "'color' is unknown"),
    ],
)
def test_a_wrong_layout_file_is_one_clear_line(tmp_path, change: dict, message: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(KINECT20.to_dict() | change))
    with pytest.raises(InputError, match=message) as error:
        get_layout(path)
    assert "mine.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cycle_of_bones_is_found() -> None:
    data = KINECT20.to_dict()
    data["bones"] = [b for b in data["bones"] if b[0] != "left_elbow"] + [["left_elbow", "left_hand"]]
    with pytest.raises(InputError, match="do not lead"):
        JointLayout.from_dict(data)


def test_unknown_layouts_and_joints_are_named(tmp_path) -> None:
    with pytest.raises(InputError, match="'ntu26'"):
        get_layout("ntu26")
    with pytest.raises(InputError, match="No such file"):
        get_layout(tmp_path / "absent.json")
    (tmp_path / "broken.json").write_text('{"name": ')
    with pytest.raises(InputError, match="not JSON"):
        get_layout(tmp_path / "broken.json")
    with pytest.raises(InputError, match="'tail'"):
        KINECT20.index("tail")
