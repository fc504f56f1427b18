"""A valid tiny source of every format of `sugar data import`, for tests of all of them."""

import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sugar.datasets.formats.benchmarks.ntu import to_skeleton_text
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import NTU25

RNG = np.random.default_rng(0)
FRAMES = 3


def numbers(*shape: int) -> np.ndarray:
    """Values with three digits, none of them zero."""
    return RNG.uniform(0.5, 2, shape).round(3)


@dataclass(frozen=True)
class Source:
    """A valid tiny source of one format.

    Args:
        files: content by path; ``main`` is the one that is damaged.
        number: a number of its second frame, as it stands there; empty in binary files.
        named: gives the path of ``main`` for another name of the clip, where names are free.
        labeled: gives ``main`` for another label, where it has one that is free.
    """

    files: dict[str, bytes]
    main: str
    number: bytes = b""
    named: Callable[[str], str] | None = None
    labeled: Callable[[str], bytes] | None = None


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def rows(values: np.ndarray) -> str:
    return "".join(" ".join(f"{x:.3f}" for x in row) + "\n" for row in values)


def files_json() -> Source:
    def content(label: object = "wave", **more: object) -> bytes:
        return as_json({"joints": joints, "layout": "kinect20", "label": label} | more)

    joints = (numbers(FRAMES, 20, 3)).tolist()
    number = str(joints[1][2][1]).encode()
    return Source(
        {"wave/a.json": content()},
        "wave/a.json",
        number=number,
        named=lambda name: f"wave/{name}.json",
        labeled=content,
    )


def files_npz() -> Source:
    buffer = io.BytesIO()
    np.savez(buffer, joints=numbers(FRAMES, 20, 3), layout="kinect20", label="wave")
    return Source({"a.npz": buffer.getvalue()}, "a.npz", named="{}.npz".format)


def files_npy() -> Source:
    buffer = io.BytesIO()
    np.save(buffer, numbers(FRAMES, 1, 20, 3))
    return Source(
        {"wave/a.npy": buffer.getvalue(), "dataset.yaml": b"layout: kinect20\n"},
        "wave/a.npy",
        named="wave/{}.npy".format,
    )


def files_csv() -> Source:
    points = numbers(FRAMES, 20, 3)
    lines = ["clip_id,label,frame,joint,x,y,z"]
    for t, frame in enumerate(points):
        lines += [f"a,wave,{t},{j},{x:.3f},{y:.3f},{z:.3f}" for j, (x, y, z) in enumerate(frame.tolist())]
    text = "\n".join([*lines, ""])
    number = f"{points[1, 2, 1]:.3f}".encode()
    return Source(
        {"a.csv": text.encode(), "dataset.yaml": b"layout: kinect20\n"},
        "a.csv",
        number=number,
        labeled=lambda label: text.replace("wave", label).encode(errors="surrogatepass"),
    )


def files_parquet() -> Source:
    import pyarrow as pa
    import pyarrow.parquet as pq

    points = numbers(FRAMES, 20, 3).reshape(-1, 3)
    table = pa.table(
        {"clip_id": ["a"] * len(points), "label": ["wave"] * len(points), "frame": np.repeat(np.arange(FRAMES), 20)}
        | {"joint": [str(j) for j in range(20)] * FRAMES}
        | {axis: points[:, i] for i, axis in enumerate("xyz")}
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return Source({"a.parquet": buffer.getvalue(), "dataset.yaml": b"layout: kinect20\n"}, "a.parquet")


def bvh() -> Source:
    chain = [
        *("Hips", "Spine", "Chest", "Neck", "Head"),
        *(f"{side}{part}" for side in ("Left", "Right") for part in ("Shoulder", "Arm", "ForeArm", "Hand")),
        *(f"{side}{part}" for side in ("Left", "Right") for part in ("UpLeg", "Leg", "Foot", "ToeBase")),
    ]
    parents = {"Spine": "Hips", "Chest": "Spine", "Neck": "Chest", "Head": "Neck"}
    for side in ("Left", "Right"):
        parents |= {f"{side}Shoulder": "Chest", f"{side}Arm": f"{side}Shoulder", f"{side}ForeArm": f"{side}Arm"}
        parents |= {f"{side}Hand": f"{side}ForeArm", f"{side}UpLeg": "Hips", f"{side}Leg": f"{side}UpLeg"}
        parents |= {f"{side}Foot": f"{side}Leg", f"{side}ToeBase": f"{side}Foot"}

    def block(name: str) -> str:
        x, y, z = numbers(3).tolist()
        inner = "\n".join(block(child) for child in chain if parents.get(child) == name)
        kind = "JOINT" if name in parents else "ROOT"
        channels = "3 Zrotation Xrotation Yrotation" if name in parents else "3 Xposition Yposition Zposition"
        inner = inner or "End Site\n{\nOFFSET 0 1 0\n}"
        return f"{kind} {name}\n{{\nOFFSET {10 * x} {10 * y} {z}\nCHANNELS {channels}\n{inner}\n}}"

    motion = numbers(FRAMES, 3 * len(chain))
    text = f"HIERARCHY\n{block('Hips')}\nMOTION\nFrames: {FRAMES}\nFrame Time: 0.0333333\n{rows(motion)}"
    return Source(
        {"wave/a.bvh": text.encode()},
        "wave/a.bvh",
        number=f"{motion[1, 4]:.3f}".encode(),
        named="wave/{}.bvh".format,
    )


def pixels(joints: int) -> list[float]:
    points = np.concatenate([100 * numbers(joints, 2).round(3), np.full((joints, 1), 0.75)], 1).round(3)
    return points.ravel().tolist()


def coco() -> Source:
    people = [{"image_id": t, "keypoints": pixels(17), "score": 1.5} for t in range(FRAMES)]
    return Source(
        {"wave/a.json": as_json(people)},
        "wave/a.json",
        number=str(people[1]["keypoints"][4]).encode(),  # type: ignore[index]
        named="wave/{}.json".format,
    )


def openpose() -> Source:
    frames = [pixels(25) for _ in range(FRAMES)]
    files = {
        f"wave/a_{t:012d}_keypoints.json": as_json({"people": [{"pose_keypoints_2d": p}]}) for t, p in enumerate(frames)
    }
    main = "wave/a_000000000001_keypoints.json"
    return Source(files, main, number=str(frames[1][4]).encode(), named="wave/{}_000000000001_keypoints.json".format)


def kinetics() -> Source:
    def content(label: object = "wave") -> bytes:
        return as_json({"data": data, "label": label, "label_index": 0})

    poses = [(numbers(36) / 4).round(3).tolist() for _ in range(FRAMES)]
    data = [{"frame_index": t + 1, "skeleton": [{"pose": p, "score": [0.5] * 18}]} for t, p in enumerate(poses)]
    return Source(
        {"kinetics_train/a.json": content()},
        "kinetics_train/a.json",
        number=str(poses[1][4]).encode(),
        named="kinetics_train/{}.json".format,
        labeled=content,
    )


def msr() -> Source:
    values = numbers(20 * FRAMES, 4)
    return Source(
        {"a01_s01_e01_skeleton3D.txt": rows(values).encode()},
        "a01_s01_e01_skeleton3D.txt",
        number=f"{values[25, 1]:.3f}".encode(),
    )


def ntu() -> Source:
    joints = numbers(FRAMES, 2, 25, 3).astype(np.float32)
    text = to_skeleton_text(SkeletonClip(joints, NTU25))
    main = "S001C001P001R001A001.skeleton"
    return Source({main: text}, main, number=str(joints[1, 0, 4, 1]).encode())


def nw_ucla() -> Source:
    joints = numbers(FRAMES, 20, 3).tolist()
    main = "a01_s01_e01_v01.json"
    content = as_json({"file_name": "a", "skeletons": joints, "label": 1})
    return Source({main: content}, main, number=str(joints[1][2][1]).encode())


def pku() -> Source:
    values = numbers(FRAMES, 150)
    main = "Data/0002-L.txt"
    return Source(
        {main: rows(values).encode(), "Label/0002-L.txt": f"1,0,{FRAMES},2\n".encode()},
        main,
        number=f"{values[1, 4]:.3f}".encode(),
    )


def pyskl() -> Source:
    def content(label: object = "wave", name: str = "a") -> bytes:
        row = {"frame_dir": name, "total_frames": FRAMES, "label": label, "keypoint": points}
        return pickle.dumps({"split": {"train": [name]}, "annotations": [row]}, 4)

    points = numbers(1, FRAMES, 25, 3).astype(np.float32)
    return Source({"a.pkl": content()}, "a.pkl", labeled=content)


def smarthome() -> Source:
    poses = [(100 * numbers(26)).round(3).tolist() for _ in range(FRAMES)]
    main = "Walk_p02_r00_v05_c03.json"
    content = as_json({"njts": 13, "frames": [[{"pose2d": pose}] for pose in poses]})
    return Source({main: content}, main, number=str(poses[1][4]).encode())


def uav_human() -> Source:
    points = (100 * numbers(FRAMES, 17, 2)).round(3)
    lines = [str(FRAMES)]
    for frame in points:
        lines += ["1", "000 0 0 0 0 0 0 0 0 0", "17", *(f"{x:.3f} {y:.3f} 0 0 0 0 0 0 0 0 0 0" for x, y in frame)]
    main = "P002S01G10B50H30UC062000LC092000A154R1_08250945.txt"
    return Source({main: "\n".join([*lines, ""]).encode()}, main, number=f"{points[1, 4, 1]:.3f}".encode())


def utd_mhad() -> Source:
    savemat = pytest.importorskip("scipy.io").savemat
    buffer = io.BytesIO()
    savemat(buffer, {"d_skel": numbers(20, 3, FRAMES)}, do_compression=True)
    return Source({"a1_s1_t1_skeleton.mat": buffer.getvalue()}, "a1_s1_t1_skeleton.mat")


MAKERS: dict[str, tuple[str, Callable[[], Source]]] = {
    "files json": ("files", files_json),
    "files npz": ("files", files_npz),
    "files npy": ("files", files_npy),
    "files csv": ("files", files_csv),
    "files parquet": ("files", files_parquet),
    "bvh": ("bvh", bvh),
    "coco": ("coco", coco),
    "kinetics-skeleton": ("kinetics-skeleton", kinetics),
    "msr-action3d": ("msr-action3d", msr),
    "ntu60": ("ntu60", ntu),
    "ntu120": ("ntu120", ntu),
    "nw-ucla": ("nw-ucla", nw_ucla),
    "openpose": ("openpose", openpose),
    "pku-mmd": ("pku-mmd", pku),
    "pyskl": ("pyskl", pyskl),
    "smarthome": ("smarthome", smarthome),
    "uav-human": ("uav-human", uav_human),
    "utd-mhad": ("utd-mhad", utd_mhad),
}
OPTIONS = {"pyskl": {"layout": "ntu25"}}


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
