"""docs/own_data.md is played as it stands: its files are written, its commands run, its messages provoked."""

import contextlib
import io
import json
import re
import runpy
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from sugar.cli.main import main
from sugar.datasets.store.store import Store
from sugar.datasets.synthetic import generate
from sugar.facts import grammar
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import COCO17, OPENPOSE25
from sugar.skeleton.retarget import retarget

PAGE = (Path(__file__).parents[2] / "docs" / "own_data.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^`([^`\n]+)`\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FORMS = ("npz", "json", "csv", "parquet")
SHORT = [f"--{stage}.loop.epochs=1" for stage in ("alignment", "baseline", "instruction")]


def sugar(words: list[str]) -> tuple[int, str]:
    """Exit code and everything printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main(words)
    return code, printed.getvalue()


@dataclass
class Played:
    """The folder in which the page was played, what each command printed, and what the page says it prints."""

    folder: Path
    printed: dict[str, str] = field(default_factory=dict)
    promised: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    with contextlib.chdir(tmp_path_factory.mktemp("page")):
        play = Played(Path.cwd())
        said = ""
        for name, language, text in BLOCK.findall(PAGE):
            if language == "sh":
                said = "".join(run(line, play) for line in text.splitlines())
            elif language == "text":
                play.promised += [(line, said) for line in text.splitlines()]
            else:
                assert name, f"a block of {language} without the name of its file"
                Path(name).parent.mkdir(exist_ok=True)
                Path(name).write_text(text, encoding="utf-8")
                if name == "rig_clips/dataset.yaml":
                    write_rig_clips()
        yield play


def run(line: str, play: Played) -> str:
    program, *words = shlex.split(line)
    if program == "python":
        runpy.run_path(words[0])
        return ""
    assert program == "sugar"
    if words[:3] == ["data", "import", "openpose"]:
        write_pose_files()
    code, printed = sugar([*words, *(SHORT if words[0] == "train" else [])])
    assert code == 0, f"{line}: {printed}"
    play.printed[line] = printed
    return printed


def write_pose_files() -> None:
    """Some clips as OpenPose and COCO key points see them, and as BVH."""
    for clip in generate(4, 0, ["throw", "sit down"]):
        seen = {layout.name: retarget(clip, layout).joints[:, 0] * 200 + 400 for layout in (OPENPOSE25, COCO17)}
        rows = {
            k: np.concatenate([v, np.full((*v.shape[:2], 1), 0.9)], -1).reshape(len(v), -1) for k, v in seen.items()
        }
        name = f"P{clip.subject:02}_{clip.trial}"
        poses = Path("poses", clip.label or "", name)
        poses.mkdir(parents=True)
        for t, row in enumerate(rows["openpose25"]):
            people = {"people": [{"pose_keypoints_2d": row.tolist()}]}
            (poses / f"{name}_{t:012}_keypoints.json").write_text(json.dumps(people))
        results = [
            {"image_id": t, "keypoints": row.tolist(), "score": 0.9, "category_id": 1}
            for t, row in enumerate(rows["coco17"])
        ]
        for folder, ending, text in (("keypoints", "json", json.dumps(results)), ("mocap", "bvh", bvh_text())):
            path = Path(folder, clip.label or "", f"{name}.{ending}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def bvh_text() -> str:
    """A rig with the usual names, in centimeters, whose arms and legs swing."""
    limbs = {
        "Arm": ("Arm", "ForeArm", "Hand", (15, 40), (0, -28), (0, -25)),
        "Leg": ("UpLeg", "Leg", "Foot", (10, -5), (0, -42), (0, -42)),
    }

    def joint(name: str, x: float, y: float, inner: str, kind: str = "JOINT") -> str:
        position = "6 Xposition Yposition Zposition" if kind == "ROOT" else "3"
        return f"{kind} {name}\n{{\nOFFSET {x} {y} 0\nCHANNELS {position} Zrotation Xrotation Yrotation\n{inner}}}\n"

    def limb(side: str, kind: str) -> str:
        *names, first, second, third = limbs[kind]
        inner = "End Site\n{\nOFFSET 0 -8 5\n}\n"
        for name, (x, y) in zip(reversed(names), (third, second, first), strict=True):
            inner = joint(side + name, x if side == "Left" else -x, y, inner)
        return inner

    head = joint("Neck", 0, 45, joint("Head", 0, 10, "End Site\n{\nOFFSET 0 18 0\n}\n"))
    tree = joint("Hips", 0, 95, head + "".join(limb(s, k) for k in limbs for s in ("Left", "Right")), "ROOT")
    angles = np.zeros((30, 6 + 3 * 14))
    angles[:, 3:] = 20 * np.sin(np.arange(30)[:, None] / 5 + np.arange(45))
    rows = "\n".join(" ".join(f"{value:.3f}" for value in row) for row in angles)
    return f"HIERARCHY\n{tree}MOTION\nFrames: 30\nFrame Time: 0.033333\n{rows}\n"


def write_rig_clips() -> None:
    """NPZ clips of the page's own rig: centimeters, z up."""
    layout = JointLayout.from_json("rig_clips/rig.json")
    for clip in rig_clips():
        joints = retarget(clip, layout).joints[:, 0, :, [0, 2, 1]].transpose(1, 2, 0) * [100, -100, 100]
        np.savez(Path("rig_clips", f"P{clip.subject:02}.npz"), joints=joints)


def rig_clips() -> list[SkeletonClip]:
    """Those of the page's labels.csv, in its order."""
    clips = {clip.subject: clip for clip in generate(6, 0, ["throw"])}
    return [clips[subject] for subject in (1, 2, 3)]


def test_the_commands_print_what_the_page_says(played: Played) -> None:
    assert len(played.promised) >= 3
    for line, printed in played.promised:
        assert line in printed.splitlines()


def test_the_model_is_there_and_speaks(played: Played) -> None:
    report = json.loads((played.folder / "report" / "report.json").read_text())
    assert report["n"] == 24
    assert list(report["scores"]) == ["fc", "text", "motion", "llm", "fused"]
    one = "sugar predict my_clips/throw/P09_take1_cam3.csv --model run"
    assert re.match(r"P09_take1_cam3: (throw|sit down|kick a ball) \(\d+%\)\. \w", played.printed[one])
    assert re.match(
        r"P09_take1_cam3: (throw|catch a ball) ", played.printed[f'{one} --candidates "throw,catch a ball"']
    )
    last = played.printed[f"{one} --json"].splitlines()[-1]
    assert set(dict(json.loads(last)["top"])) == {"throw", "sit down", "kick a ball"}
    assert "kick a ball/P01_take1_cam1" in (played.folder / "kick.html").read_text()


def test_every_form_gives_the_same_store(played: Played) -> None:
    hashes = {Store.open(played.folder / name).hash for name in ("store", *(f"store_{f}" for f in FORMS))}
    assert len(hashes) == 1


def test_pose_estimators_and_motion_capture_are_read_in_full(played: Played) -> None:
    for name, layout in (("openpose", "openpose25"), ("coco", "coco17"), ("bvh", "kinect20")):
        store = Store.open(played.folder / f"store_{name}")
        assert (len(store), store.layout.name, store.classes) == (8, layout, ("sit down", "throw"))
        assert (store.column("subject") > 0).all()
        assert not store.manifest.rejected


def test_own_rig_is_turned_scaled_and_recognized(played: Played) -> None:
    store = Store.open(played.folder / "rig_store")
    layout = store.layout
    for ours, clip in zip(store, rig_clips(), strict=True):
        assert (ours.label, ours.subject, ours.clip_id) == ("throw", clip.subject, f"P{clip.subject:02}")
        assert np.allclose(ours.joints, retarget(clip, layout).joints, atol=1e-5)
    assert not store.manifest.rejected
    by_store = re.findall(r"^P\d\d: .*", played.printed["sugar predict rig_store --model run"], re.MULTILINE)
    assert len(by_store) == 3
    # A file is read as the dataset.yaml beside it says, so it gets the same answer as the imported clip.
    assert by_store[2] in played.printed["sugar predict rig_clips/P03.npz --model run"].splitlines()


def test_the_ten_sentences_are_of_the_vocabulary() -> None:
    sentences = re.findall(r"^- ((?:The|Both) .*\.)$", PAGE, re.MULTILINE)
    assert len(sentences) == 10
    for sentence in sentences:
        assert all(claims for _, claims in grammar.read(sentence)), sentence


def test_the_protocols_of_the_page(played: Played) -> None:
    assert "test: clips 12;" in played.printed["sugar data info store --protocol subject:1-8/9-10"]
    new = played.printed["sugar data info store --protocol new_action.yaml"]
    assert "unseen_classes: kick a ball" in new
    assert "test: clips 8; classes 1; subjects 9, 10, 11, 12" in new


# ---- The table of messages, row by row: how to make a copy of the example go wrong, and with which command.

IMPORT = "data import files d s --workers 1"
Wrong = Callable[[], object]


def clip_file(number: int = 0) -> Path:
    return sorted(Path("d/throw").glob("*.csv"))[number]


def spoil_a_number(value: str = "abc") -> None:
    rows = [line.split(",") for line in clip_file().read_text().splitlines()]
    rows[3][5] = value
    clip_file().write_text("\n".join(map(",".join, rows)))


def label(titles: str, rows: str) -> Wrong:
    def write() -> None:
        Path("d/labels.csv").write_text(f"file,{titles}\n{rows}\n")
        Path("d/dataset.yaml").write_text("{layout: ntu25, units: mm, labels: labels.csv}")

    return write


def put_a_rig(chest: bool) -> None:
    text = Path("rig_clips/rig.json").read_text()
    Path("d/rig.json").write_text(text.replace('["pelvis", "neck",', '["pelvis", "chest", "neck",') if chest else text)
    bones = '"bones": [["chest", "pelvis"], '
    if chest:
        Path("d/rig.json").write_text(Path("d/rig.json").read_text().replace('"bones": [', bones))
        Path("d/dataset.yaml").write_text("layout: rig.json")
    else:
        Path("d/dataset.yaml").write_text("layout: kinect20")


def repeat_a_frame() -> None:
    lines = clip_file().read_text().splitlines()
    clip_file().write_text("\n".join([*lines, lines[4]]))


def describe(text: str) -> Wrong:
    return lambda: Path("d/dataset.yaml").write_text(text)


def joints(*shape: int, value: float = 1.0, **more: object) -> Wrong:
    def write() -> None:
        Path("d/dataset.yaml").unlink()  # which says for files beside it, too, what they are
        np.savez("d/clip.npz", joints=np.full(shape, value), **more)  # type: ignore[arg-type]

    return write


def no_folders() -> None:
    Path("d/dataset.yaml").unlink()
    for path in [*Path("d").glob("*/P0*.csv")]:
        path.rename(Path("d", path.parent.name + path.name))
    for folder in ("throw", "sit down", "kick a ball"):
        shutil.rmtree(Path("d", folder))


def without(field: str) -> Wrong:
    """A pack in which the last class lacks ``field``; without a name the class is gone."""
    text = Path("pack.yaml").read_text
    if field == "name":
        return lambda: Path("d/pack.yaml").write_text(text().split("  - name: kick a ball")[0])
    return lambda: Path("d/pack.yaml").write_text(text().split(f"    {field}:")[0])


TRAIN = "train mine.yaml --out new --knowledge.pack d/pack.yaml"
WRONG: list[tuple[Wrong, list[str]]] = [
    (spoil_a_number, [IMPORT]),
    (lambda: spoil_a_number('"-56,76"'), [IMPORT]),
    (repeat_a_frame, [IMPORT]),
    (label("exercise", "P01_take1_cam1.csv,throw"), [IMPORT]),
    (label("label", "P01_take1_cam1.csv,throw\nP99.csv,throw"), [IMPORT]),
    (describe("{layout: ntu25, unit: mm}"), [IMPORT]),
    (lambda: put_a_rig(chest=False), [IMPORT]),
    (lambda: put_a_rig(chest=True), [IMPORT]),
    (describe("layout: coco17"), [IMPORT]),
    (joints(9, 19, 3), ["data validate d/clip.npz"]),
    (joints(9, 17, 3), ["data validate d/clip.npz"]),
    (describe("pattern: 'S(?P<subject>\\d+)'"), [IMPORT]),
    (no_folders, [IMPORT]),
    (describe("layout: ntu25"), [IMPORT, "data validate s"]),
    (describe("{layout: ntu25, units: mm, up: z}"), [IMPORT, "data validate s"]),
    (joints(9, 25, 3, value=float("nan"), layout="ntu25"), ["data validate d/clip.npz"]),
    (lambda: None, ["data info store --protocol setup:1"]),
    (lambda: None, ["data info store --protocol subject:20-30"]),
    (without("name"), [TRAIN]),
    (without("motion_sentences"), [TRAIN]),
    (joints(9, 17, 2), ["predict d/clip.npz --model run"]),
    (lambda: None, ["train mine.yaml --out run"]),
]
MESSAGES = re.findall(r"^\| `([^`]+)` \|", PAGE.partition("## When something goes wrong")[2], re.MULTILINE)


@pytest.mark.parametrize("row", range(len(WRONG)))
def test_a_message_of_the_table(row: int, played: Played) -> None:
    assert len(MESSAGES) == len(WRONG)
    prepare, commands = WRONG[row]
    for folder in ("d", "s"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree("my_clips", "d")
    prepare()
    printed = " ".join(sugar(shlex.split(command))[1] for command in commands)
    assert MESSAGES[row].removesuffix(" ...") in " ".join(printed.split())
