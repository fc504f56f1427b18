"""COCO key point JSON of estimators and annotators, and damaged files."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.formats.coco import CocoKeypointsReader, read_clip_file
from sugar.datasets.formats.source import opened
from sugar.datasets.store.importing import import_data
from sugar.errors import InputError
from sugar.inference.sources import read_clips as read_input
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import COCO17, HALPE26, OPENPOSE18


def people(frames: int = 6, joints: int = 17) -> np.ndarray:
    """``[T, 2, V, 3]``: one who walks and one who stands and waves, far apart."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(0, 100, (1, 2, joints, 2)), np.full((1, 2, joints, 1), 0.75)], -1)
    points = np.repeat(points, frames, 0)
    points[:, 0, :, 0] += 10 * np.arange(frames)[:, None]
    points[:, 1, :, 0] += 500
    points[:, 1, 9, 1] += rng.uniform(-20, 20, frames)
    return points.round(3)


POINTS = people()


def results(points: np.ndarray = POINTS, image: str = "{}.jpg", **extra: object) -> list[dict]:
    """As AlphaPose writes them."""
    return [
        {
            "image_id": int(image.format(t)) if image == "{}" else image.format(t),
            "category_id": 1,
            "keypoints": person.ravel().tolist(),
            "score": 2.9,
            "box": [0, 0, 1, 1],
        }
        | {key: (m + 3 if value is ... else value) for key, value in extra.items()}
        for t, frame in enumerate(points)
        for m, person in enumerate(frame)
    ]


def annotated(points: np.ndarray = POINTS) -> dict:
    images = [{"id": 100 - t, "file_name": f"v1/frame_{t:05d}.png"} for t in range(len(points) + 1)]
    seen = points.copy()
    seen[..., 2] = 2
    annotations = [
        {"image_id": 100 - t, "keypoints": person.ravel().tolist(), "num_keypoints": 17, "id": 2 * t + m}
        for t, frame in enumerate(seen)
        for m, person in enumerate(frame)
    ]
    annotations.append({"image_id": 100, "keypoints": [0] * 51, "num_keypoints": 0, "iscrowd": 1})
    return {"images": images, "annotations": annotations, "categories": []}


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read(source: Path, **options: object) -> tuple[list[SkeletonClip], list[tuple[str, str]]]:
    clips, rejected = [], []
    with opened(source, source.parent / "scratch") as files:
        plan = CocoKeypointsReader(**options).plan(files)  # type: ignore[arg-type]
        pickle.dumps(plan.read)
        for item in plan.items:
            try:
                clips += list(plan.read(item))
            except InputError as error:
                rejected.append((item.name, str(error)))
    assert not any("\n" in reason for _, reason in rejected)
    return clips, rejected  # type: ignore[return-value]


def check(clip: SkeletonClip, points: np.ndarray) -> None:
    assert clip.joints.shape == (*points.shape[:3], 2)
    order = [0, 1] if clip.joints[0, 0, 0, 0] < 300 else [1, 0]
    np.testing.assert_array_equal(clip.joints[:, order], points[..., :2].astype(np.float32))
    assert clip.confidence is not None
    np.testing.assert_array_equal(clip.confidence[:, order], points[..., 2].astype(np.float32))


@pytest.mark.parametrize(
    "data",
    [
        results(),
        results(image="{}"),
        results(image="video_3/img_000{}.png"),
        results(track_id=...),
        results(idx=...),
        results(idx=0.0),  # AlphaPose without tracking
        results(track_id=1),  # nobody can be told apart by these: linked instead
        results()[::-1],
    ],
)
def test_results_of_estimators(tmp_path: Path, data: list[dict]) -> None:
    put(tmp_path / "data" / "hug" / "a_S04.json", data)
    (clip,), rejected = read(tmp_path / "data", pattern=r"_S(?P<subject>\d+)", fps=25.0)
    assert not rejected
    assert (clip.clip_id, clip.label, clip.subject, clip.fps, clip.layout) == ("hug/a_S04", "hug", 4, 25.0, COCO17)
    check(clip, POINTS)
    for again in (read_clip_file(tmp_path / "data" / "hug" / "a_S04.json"),
                  *read_input(str(tmp_path / "data" / "hug" / "a_S04.json"), None)):  # type: ignore[arg-type]  # fmt: skip
        check(again, POINTS)
        assert again.label is None


def test_annotations_have_their_own_frames_and_visibilities(tmp_path: Path) -> None:
    data = annotated()
    data["annotations"][0]["keypoints"][:6] = [7, 7, 0, *data["annotations"][0]["keypoints"][3:5], 1]
    put(tmp_path / "data" / "hug" / "a.json", data)
    (clip,), _ = read(tmp_path / "data")
    assert clip.num_frames == 7  # the last image has nobody
    expected = np.concatenate([POINTS, np.zeros((1, 2, 17, 3))])
    expected[:6, ..., 2] = 1
    expected[0, 0, 0], expected[0, 0, 1, 2] = 0, 0.5
    check(clip, expected)


def test_track_ids_outdo_places_and_other_models(tmp_path: Path) -> None:
    swapped = POINTS.copy()
    swapped[3:] = swapped[3:, ::-1]  # the ids say that they change places in one frame
    put(tmp_path / "ids" / "x" / "a.json", results(swapped, track_id=...))
    (clip,), _ = read(tmp_path / "ids")
    order = [0, 1] if clip.joints[0, 0, 0, 0] < 300 else [1, 0]
    np.testing.assert_array_equal(clip.joints[:, order], swapped[..., :2].astype(np.float32))
    for joints, layout in ((26, HALPE26), (18, OPENPOSE18), (133, COCO17), (136, HALPE26)):
        points = people(joints=joints)
        put(tmp_path / str(joints) / "x" / "a.json", results(points))
        (clip,), _ = read(tmp_path / str(joints))
        assert clip.layout == layout
        order = [0, 1] if clip.joints[0, 0, 0, 0] < 300 else [1, 0]
        np.testing.assert_array_equal(clip.joints[:, order], points[:, :, : layout.num_joints, :2].astype(np.float32))
    store = import_data(CocoKeypointsReader(), tmp_path / "26", tmp_path / "store", name="mine", workers=1)
    assert (len(store), store.layout, store.classes) == (1, HALPE26, ("x",))


def changed(**keys: object) -> list[dict]:
    return [results()[0] | keys, *results()[1:]]


def images(**keys: object) -> dict:
    return annotated() | keys


DAMAGE: dict[str, tuple[object, str]] = {
    "empty": ("", "truncated or not JSON"),
    "truncated": (json.dumps(results())[:5000], "truncated or not JSON"),
    "not utf-8": (b'[{"keypoints": "\xff"}]', "truncated or not JSON"),
    "nested": ("[" * 100_000, "nested too deeply"),
    "a number": ("7", "neither a list of results"),
    "an empty list": ([], "nobody"),
    "an object": ({"joints": []}, "neither a list of results"),
    "list of numbers": ([1, 2], "each person must be"),
    "no key points": ([{"image_id": 1}], "nobody"),
    "letters": (changed(keypoints=["a", *[1.0] * 50]), "finite numbers"),
    "text for key points": (changed(keypoints="many"), "finite numbers"),
    "nan": (changed(keypoints=[float("nan"), *[1.0] * 50]), "finite numbers"),
    "infinite": (json.dumps(changed(keypoints=[7777, *[1.0] * 50])).replace("7777", "1e999"), "finite numbers"),
    "one number short": (changed(keypoints=[1.0] * 50), "50 numbers, but layout coco17"),
    "another model": (results(people(joints=26)), "78 numbers, but layout coco17"),
    "mixed models": ([*results(), *results(people(joints=26), image="9{}.jpg")], "78 numbers"),
    "all zero": (results(POINTS * 0), "nobody"),
    "no image": (changed(image_id=None), "'None' has no frame number"),
    "image without number": (changed(image_id="first.jpg"), "'first.jpg' has no frame number"),
    "image of truth": (changed(image_id=True), "has no frame number"),
    "two videos": (changed(image_id="other/1.jpg"), "both frame 1"),
    "huge frame number": (changed(image_id="900000000000.jpg"), "frames are numbered"),
    "endless frame number": (changed(image_id="9" * 50 + ".jpg"), "no frame number"),
    "negative frame": (changed(image_id=-5), "no frame number"),
    "crowd": (results(np.repeat(POINTS, 150, axis=1)), "300 persons"),
    "unknown image": (images(images=annotated()["images"][1:]), "image 100, which is not one"),
    "image twice": (images(images=annotated()["images"] * 2), "the same id"),
    "same frame": (images(images=[{"id": i, "file_name": "1.jpg"} for i in range(200)]), "the same frame"),
    "images of numbers": (images(images=[1]), "an object with an id"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_a_rejected_file_and_an_error_in_prediction(tmp_path: Path, case: str) -> None:
    content, message = DAMAGE[case]
    put(tmp_path / "data" / "x" / "a.json", results())
    path = put(tmp_path / "data" / "x" / "b.json", content)
    (clip,), ((name, reason),) = read(tmp_path / "data")
    assert (clip.clip_id, name) == ("x/a", "x/b.json")
    assert message in reason
    if case != "another model":  # by itself it is a clip of that one
        with pytest.raises(InputError) as error:
            read_clip_file(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)


def test_sources_and_options_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    put(tmp_path / "bad" / "a.json", "{")
    put(tmp_path / "odd" / "a.json", results(people(joints=19)))
    put(tmp_path / "good" / "a.json", results())
    for source, options, message in (
        ("empty", {}, r"no \.json file"),
        ("bad", {}, r"nobody in the first 1 files; a\.json: truncated"),
        ("odd", {}, "57 numbers, which is no known model"),
        ("good", {"layout": "ntu25"}, "in 3-D"),
        ("good", {"label": "filename"}, "needs a pattern"),
        ("good", {"pattern": "(?P<color>.)"}, "groups such as"),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path / source, **options)
    with pytest.raises(InputError, match="no such file"):
        read_clip_file(tmp_path / "gone.json")
    (clip,), _ = read(tmp_path / "good")
    assert clip.label is None  # it lies in no folder


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_cut_or_change_gives_an_error_or_the_numbers_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.json"
    good = json.dumps(results(POINTS[:2], track_id=...))
    at = data.draw(st.integers(0, len(good) - 1))
    put = data.draw(st.sampled_from(["", "x", "[", "]", "-", "1", ",", '"', "é"]))
    path.write_text(good[:at] if data.draw(st.booleans()) else good[:at] + put + good[at + 1 :])
    try:
        clip = read_clip_file(path)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError("an error of several lines") from error
        return
    numbers = np.isin(clip.joints, [0, *POINTS[:2].astype(np.float32).ravel()])
    assert (~numbers).sum() <= 3
    assert clip.num_frames <= 1000
