import json

import pytest

from sugar.errors import InputError
from sugar.skeleton.layout import KINECT20, LAYOUTS, NTU25, PARTS, JointLayout, get_layout


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


def test_json_round_trip_and_lookup(tmp_path) -> None:
    path = tmp_path / "layout.json"
    NTU25.to_json(path)
    assert JointLayout.from_json(path) == NTU25 == get_layout(str(path))
    assert get_layout("kinect20") is KINECT20
    assert len({KINECT20, NTU25, JointLayout.from_json(path)}) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bones": [["head", "hip_centre"]]}, "one parent"),
        ({"root": 25}, "joint 25"),
        ({"parts": {"head": ["head"]}}, "parts must be exactly"),
        ({"parts": {part: ["head"] for part in PARTS}}, "exactly one"),
        ({"pairs": [["left_hand", "right_hand"], ["left_hand", "left_foot"]]}, "only one left/right pair"),
        ({"joint_names": []}, "not well formed"),
        ({"dimension": 4}, "dimension"),
        ({"colour": "red"}, "no others"),
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
