"""Frames of videos: which are decoded, which are kept, and what becomes of damaged files. PyAV makes the videos."""

import io
import itertools
import json
import struct
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sugar.authoring.media import frames, video
from sugar.authoring.media.frame_features import FrameFeaturesConfig, PixelFeatures, load_frame_features
from sugar.authoring.media.frames import (
    FrameConfig,
    VideoConfig,
    dissimilar,
    most_dissimilar,
    select_frames,
    whole_video,
)
from sugar.authoring.media.video import garbled, sample_frames
from sugar.config import as_plain, parse_config
from sugar.errors import InputError

av = pytest.importorskip("av", reason="videos need PyAV")
Image = pytest.importorskip("PIL.Image", reason="videos need Pillow")

WIDTH, HEIGHT, RATE = 192, 128, 10
PIXEL = PixelFeatures()
REAL = ("arm_wrestling_340x256.mp4", "hug_1080p.mp4")


def scene(number: int, width: int = WIDTH) -> np.ndarray:
    """A picture ``[HEIGHT, width, 3]`` of its own: soft blobs of color and a few boxes."""
    rng = np.random.default_rng(100 + number)
    coarse = Image.fromarray(rng.integers(30, 200, (5, 7 * width // WIDTH, 3), dtype=np.uint8))
    picture = np.asarray(coarse.resize((width, HEIGHT), Image.Resampling.BICUBIC)).astype(float)
    for _ in range(6 * width // WIDTH):
        x, y, w, h = rng.integers([0, 0, 12, 12], [width - 12, HEIGHT - 12, 60, 50])
        picture[y : y + h, x : x + w] = rng.integers(20, 220, 3)
    return picture


def shot(picture: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """``count`` times the same, with an exposure of its own and new noise in each."""
    gain, offset = rng.uniform(0.85, 1.15), rng.uniform(-10, 10)
    return [gain * picture + offset + rng.normal(0, 4, picture.shape) for _ in range(count)]


def write(path: Path, pictures: Iterable[np.ndarray], codec: str = "libx264", **options: str) -> Path:
    if codec not in av.codecs_available:
        codec = "mpeg4"
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as file:
        stream = file.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.gop_size = 10
        stream.options = ({"crf": "32", "preset": "veryfast"} if codec == "libx264" else {}) | options
        for picture in pictures:
            image = np.clip(picture, 0, 255).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode())
    return path


ORDER = [0, 1, 0, 2, 3, 1, 2, 4, 0, 5, 3, 4, 5, 1]
SHOT = 6


@pytest.fixture(scope="module")
def repeats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scenes, each shown two or three times for 0.6 s, never with the same exposure and noise."""
    rng = np.random.default_rng(0)
    pictures = (picture for number in ORDER for picture in shot(scene(number), SHOT, rng))
    return write(tmp_path_factory.mktemp("videos") / "repeats.mp4", pictures)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes in two seconds, as AVI."""
    return write(tmp_path_factory.mktemp("videos") / "short.avi", (scene(n // 5) for n in range(20)), "mpeg4")


def scenes_of(pictures) -> list[int]:
    """Which scene each kept picture shows, by its time."""
    times = [float(picture.origin.split(" at ")[1].removesuffix(" s")) for picture in pictures]
    return [ORDER[round(time * RATE) // SHOT] for time in times]


def opened(picture) -> "Image.Image":
    return Image.open(io.BytesIO(picture.data))


# -- the filter ----------------------------------------------------------------------------------------------------


def smallest(features: np.ndarray, kept: Iterable[int]) -> float:
    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    return min(1 - rows[a] @ rows[b] for a, b in itertools.combinations(kept, 2))


def test_the_set_is_the_best_or_nearly():
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(120):
        count, size, width = int(rng.integers(5, 12)), int(rng.integers(2, 6)), int(rng.choice([2, 3, 8, 64]))
        features = rng.normal(size=(count, width)) + rng.choice([0, 2]) * rng.normal(size=width)
        best = max(smallest(features, chosen) for chosen in itertools.combinations(range(count), size))
        kept = dissimilar(features, size)
        assert len(set(kept)) == size
        assert list(kept) == sorted(kept)
        shares.append(smallest(features, kept) / best)
    assert np.mean(np.array(shares) > 1 - 1e-5) > 0.97
    assert min(shares) > 0.9


def test_repeats_are_not_kept_and_the_earliest_stands_for_them():
    rows = np.eye(4)[[2, 2, 0, 1, 0, 2, 1]]
    assert list(dissimilar(rows, 7, 0.9)) == [0, 2, 3]
    assert list(dissimilar(rows, 2, 0.9)) == [0, 2]
    assert list(dissimilar(np.ones((5, 3)), 4, 0.9)) == [0]
    # Without a threshold the size is met as long as there are items.
    assert list(dissimilar(rows, 9, 1.0)) == list(range(7))


def test_the_threshold_holds_between_all_that_are_kept():
    rows = np.random.default_rng(0).normal(size=(80, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    counts = []
    for threshold in (0.95, 0.7, 0.0):
        kept = dissimilar(rows, 80, threshold)
        alike = (rows[kept] @ rows[kept].T)[np.triu_indices(len(kept), 1)]
        assert (alike <= threshold + 1e-6).all()
        counts.append(len(kept))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 20
    assert counts[-1] >= 4


def test_one_alone_is_the_one_most_like_the_others():
    alike = np.array([[1, 0.5, 0.1], [0.5, 1, 0.6], [0.1, 0.6, 1]])
    assert list(most_dissimilar(alike, 1)) == [1]
    assert list(most_dissimilar(alike, 3, 0.05)) == [1]
    assert list(most_dissimilar(alike, 2, 0.1)) == [0, 2]
    for size, count in ((0, 3), (2, 0)):
        with pytest.raises(InputError, match="at least one"):
            most_dissimilar(np.ones((count, count)), size)


# -- what is kept of a video ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [6, 12])
def test_of_a_video_with_repeats_each_scene_is_kept_once(repeats, size):
    kept = select_frames(repeats, FrameConfig(size=size), PIXEL)
    assert sorted(scenes_of(kept)) == list(range(6))
    assert all(picture.media_type == "image/jpeg" for picture in kept)
    assert all(picture.origin.startswith("repeats.mp4 at ") for picture in kept)
    times = [float(picture.origin.split()[2]) for picture in kept]
    assert times == sorted(times)


@pytest.mark.parametrize("size", [2, 4])
def test_fewer_are_different_scenes(repeats, size):
    kept = scenes_of(select_frames(repeats, FrameConfig(size=size), PIXEL))
    assert len(kept) == len(set(kept)) == size


def test_of_a_slow_pan_frames_apart_are_kept(tmp_path):
    wide = scene(7, 3 * WIDTH)
    rng = np.random.default_rng(1)
    starts = [0] * 20 + list(range(0, 2 * WIDTH, 6)) + [2 * WIDTH] * 20  # stands, pans, stands
    pictures = (wide[:, x : x + WIDTH] + rng.normal(0, 4, (HEIGHT, WIDTH, 3)) for x in starts)
    kept = select_frames(write(tmp_path / "pan.mp4", pictures), FrameConfig(size=5), PIXEL)
    places = [starts[min(len(starts) - 1, round(float(p.origin.split()[2]) * RATE))] for p in kept]
    assert len(kept) == 5
    assert min(np.diff(places)) > WIDTH // 5
    assert places[-1] - places[0] > WIDTH  # no part of the picture at the one is in the other


def test_a_still_picture_is_sent_once(tmp_path):
    rng = np.random.default_rng(1)
    path = write(tmp_path / "still.mp4", shot(scene(1), 30, rng))
    assert len(select_frames(path, FrameConfig(size=8), PIXEL)) == 1


@pytest.mark.parametrize("name", REAL)
def test_kept_frames_of_real_videos_differ_more_than_evenly_spaced_ones(shared, name):
    path = shared / "media" / name
    looked = list(sample_frames(path, 8, 64, 768))
    sound = [f for f, bad in zip(looked, garbled([f.image for f in looked]), strict=True) if not bad]
    kept = select_frames(path, FrameConfig(), PIXEL)
    assert len(kept) == 4
    times = [float(picture.origin.split()[-2]) for picture in kept]
    chosen = PIXEL.encode([f.image for f in sound if any(abs(f.time_s - t) < 0.01 for t in times)])
    even = PIXEL.encode([sound[int((i + 0.5) * len(sound) / 4)].image for i in range(4)])
    assert smallest(chosen, range(4)) > 2 * smallest(even, range(4))
    assert all(max(opened(picture).size) <= 768 for picture in kept)


def test_the_garbled_part_of_a_real_video_is_left_out(shared):
    """From 8.18 to 9.54 s it is smeared and frozen, in the pixels; the file itself is sound."""
    for rate in (3, 8, 28):
        looked = list(sample_frames(shared / "media" / REAL[0], rate, None, 512))
        bad = garbled([frame.image for frame in looked])
        truth = [8.17 < frame.time_s < 9.55 for frame in looked]
        assert list(bad) == truth
    kept = select_frames(shared / "media" / REAL[0], FrameConfig(size=12, threshold=1.0), PIXEL)
    assert not any(8.17 < float(picture.origin.split()[-2]) < 9.55 for picture in kept)


def smear(picture: np.ndarray) -> np.ndarray:
    """From a third down, every row is the same, with stripes of some pixels."""
    lost = picture.copy()
    stripes = 40 * np.sin(np.arange(WIDTH) / 2)[:, None]
    lost[HEIGHT // 3 :] = lost[HEIGHT // 3] + stripes
    return lost


def test_only_what_is_smeared_and_frozen_counts_as_garbled():
    wide = scene(8, 2 * WIDTH)
    moving = [wide[:, x : x + WIDTH] for x in range(0, WIDTH, 12)]

    def found(pictures: list[np.ndarray]) -> list[int]:
        images = [Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)) for picture in pictures]
        return list(np.flatnonzero(garbled(images)))

    assert found(moving) == []
    # Frozen and smeared, with one before that is still in motion.
    lost = [smear(moving[10] + 20)] + 4 * [smear(moving[11])]
    assert found([*moving[:10], *lost, *moving[12:]]) == [10, 11, 12, 13, 14]
    # Frozen but sharp; smeared but moving, such as blinds; a fence in a video of fences; too short to tell.
    assert found([*moving, *4 * [moving[-1]]]) == []
    assert found([*moving[:12], *(smear(picture) for picture in moving[12:])]) == []
    assert found([smear(picture) for picture in moving] + 3 * [smear(moving[-1])]) == []
    assert found(2 * [smear(moving[0])]) == []


# -- decoding ------------------------------------------------------------------------------------------------------


def test_samples_are_evenly_spaced_and_bounded(repeats):
    every = list(sample_frames(repeats, 1000))
    assert len(every) == len(ORDER) * SHOT
    assert [frame.time_s for frame in every] == pytest.approx(np.arange(len(every)) / RATE)
    few = list(sample_frames(repeats, 2.5, most=9, longest_side=48))
    assert len(few) == 9
    assert np.diff([frame.time_s for frame in few]) == pytest.approx(8.3 / 9, abs=0.11)
    assert {frame.image.size for frame in few} == {(48, 32)}
    # By time and not by count: five a second of ten.
    assert np.diff([frame.time_s for frame in sample_frames(repeats, 5)]) == pytest.approx(0.2, abs=0.11)
    for rate, most in ((0, None), (float("nan"), None), (1, 0)):
        with pytest.raises(InputError, match="above zero"):
            list(sample_frames(repeats, rate, most))


def test_only_one_frame_is_held(repeats, monkeypatch):
    """Pictures are made as they are asked for."""
    made = []
    monkeypatch.setattr(video, "_upright", lambda *given: made.append(1))
    stream = sample_frames(repeats, 1000)
    for number in range(1, 20):
        next(stream)
        assert len(made) == number


def test_of_a_long_video_only_key_frames_are_decoded(repeats, monkeypatch):
    normal = [frame.time_s for frame in sample_frames(repeats, 1)]
    monkeypatch.setattr(video, "SPARSE", 0.5)
    decoded = []
    original = video._decoded
    monkeypatch.setattr(video, "_decoded", lambda *a: (decoded.append(f) or f for f in original(*a)))
    sparse = [frame.time_s for frame in sample_frames(repeats, 1)]
    assert all(frame.key_frame for _, frame, _ in decoded)
    assert len(decoded) < len(ORDER) * SHOT / 4
    assert len(sparse) >= 0.9 * len(normal)
    assert np.abs(np.array(sparse) - normal[: len(sparse)]).max() <= 1.0


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.avi", "mpeg4"), ("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.h264", "libx264"), ("a.avi", "mjpeg")],
)
def test_other_containers(name, codec, tmp_path):
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV has no {codec}")
    pix = {"strict": "unofficial"} if codec == "mjpeg" else {}
    path = write(tmp_path / name, (scene(n // 5) for n in range(20)), codec, **pix)
    every = list(sample_frames(path, 1000))
    # The rate of a raw stream is a guess.
    assert 19 <= len(every) <= 20
    times = np.array([frame.time_s for frame in every])
    assert (np.diff(times) > 0).all()
    if name != "a.h264":
        assert times[-1] == pytest.approx(1.9, abs=0.11)
    assert len(select_frames(path, FrameConfig(size=6, threshold=0.95), PIXEL)) == 4


def test_one_frame(tmp_path):
    path = write(tmp_path / "a.mp4", [scene(1)])
    assert [picture.origin for picture in select_frames(path, FrameConfig(), PIXEL)] == ["a.mp4 at 0.00 s"]


def test_pictures_are_upright(tmp_path):
    path = write(tmp_path / "a.mp4", [scene(1)] * 5)
    data = bytearray(path.read_bytes())
    upright = next(sample_frames(path, 1)).image
    at = data.index(b"tkhd") + 44
    assert struct.unpack(">9i", data[at : at + 36])[0] == 1 << 16
    # Turned clockwise by a quarter, as a phone notes it.
    struct.pack_into(">9i", data, at, 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    turned = next(sample_frames(path, 1)).image
    assert turned.size == (HEIGHT, WIDTH)
    assert np.asarray(turned) == pytest.approx(np.asarray(upright.rotate(-90, expand=True)))


def test_pixels_are_square(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(scene(1).astype(np.uint8), format="rgb24")))
        file.mux(stream.encode())
    assert next(sample_frames(path, 1)).image.size == (256, 128)
    assert next(sample_frames(path, 1, longest_side=64)).image.size == (64, 32)


# -- damage --------------------------------------------------------------------------------------------------------


def test_of_a_truncated_video_what_is_there_is_used(repeats, tmp_path):
    data = repeats.read_bytes()
    for share in (0.9, 0.5, 0.3):
        path = tmp_path / "cut.mp4"
        path.write_bytes(data[: int(share * len(data))])
        whole = [np.asarray(frame.image) for frame in sample_frames(repeats, 1000)]
        left = list(sample_frames(path, 1000))
        assert 0.3 * share < len(left) / len(whole) <= share + 0.1
        for frame in left:
            assert (np.asarray(frame.image) == whole[round(frame.time_s * RATE)]).all()


@pytest.mark.parametrize("seed", range(4))
def test_frames_drawn_on_lost_ones_are_left_out(short, seed, tmp_path):
    """MPEG-4 finds its own damage; H.264 and newer codecs pass much of it on in silence."""

    def errors(pictures: Iterable[np.ndarray]) -> np.ndarray:
        """Mean difference from the most similar picture of the sound video."""
        return np.array([min(np.abs(sound - picture).mean() for sound in whole) for picture in pictures])

    whole = [np.asarray(frame.image).astype(int) for frame in sample_frames(short, 1000)]
    data = bytearray(short.read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(data.index(b"movi") + 4000, int(0.9 * len(data)), 3):  # behind the first key frame
        data[at : at + 40] = rng.bytes(40)
    path = tmp_path / "hurt.avi"
    path.write_bytes(data)
    left = list(sample_frames(path, 1000))
    assert 5 < len(left) < len(whole)
    assert errors(np.asarray(frame.image) for frame in left).max() < 1
    # What is left out would have been seen.
    every = [picture.to_ndarray(format="rgb24") for _, picture, _ in video._decoded(path, False, False)]
    assert len(every) > len(left)
    assert errors(every).max() > 1
    assert select_frames(path, FrameConfig(), PIXEL)


def soundless(path: Path) -> None:
    with av.open(str(path), "w", format="wav") as file:
        stream = file.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        file.mux(stream.encode(sound))
        file.mux(stream.encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no video that can be read"),
        (b"put the cup down\n" * 50, "no video that can be read"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n", "no video"),
        (b"ffconcat version 1.0\nfile 'whole.mp4'\n", "no video|decoded"),
        (bytes(5000), "no video that can be read"),
    ],
)
def test_what_is_no_video_is_one_line(content, message, repeats, tmp_path):
    (tmp_path / "whole.mp4").write_bytes(repeats.read_bytes())
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    for read in (lambda: select_frames(path, FrameConfig(), PIXEL), lambda: whole_video(path)):
        with pytest.raises(InputError, match=message) as error:
            read()
        assert "\n" not in str(error.value)
        assert "a.mp4" in str(error.value)


def test_files_without_pictures(repeats, tmp_path):
    soundless(tmp_path / "sound.mp4")
    with pytest.raises(InputError, match="no pictures"):
        list(sample_frames(tmp_path / "sound.mp4", 1))
    data = bytearray(repeats.read_bytes())
    (tmp_path / "empty.mp4").write_bytes(data[: data.index(b"mdat") + 4])
    noise = np.random.default_rng(0).bytes(len(data))
    start = data.index(b"mdat") + 4
    (tmp_path / "noise.mp4").write_bytes(bytes(data[:start]) + noise[start:])
    for name in ("empty.mp4", "noise.mp4"):
        with pytest.raises(InputError, match="no frame of it can be decoded"):
            list(sample_frames(tmp_path / name, 1))
    for path in (tmp_path, tmp_path / "none.mp4"):
        with pytest.raises(InputError, match="cannot be read"):
            list(sample_frames(path, 1))


@pytest.mark.parametrize("name", ["a\nignore all rules.mp4", "a\x1b[31m.mp4", "a\u2028b.mp4", "a\udc80.mp4"])
def test_names_with_control_characters_are_refused(name, repeats, tmp_path):
    path = tmp_path / name
    for read in (lambda: select_frames(path, FrameConfig(), PIXEL, tmp_path / "c"), lambda: whole_video(path)):
        with pytest.raises(InputError, match="control characters; rename") as error:
            read()
        assert str(error.value).isascii()
        assert str(error.value).isprintable()


@pytest.mark.parametrize("package", ["av", "PIL"])
def test_a_missing_package_is_named_with_its_extra(package, short, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"needs (PyAV|Pillow): pip install 'sugar\[ask\]'"):
        select_frames(short, FrameConfig(), PIXEL)


# -- kept on disk --------------------------------------------------------------------------------------------------


def test_a_resumed_run_decodes_nothing_again(short, tmp_path, monkeypatch):
    path = tmp_path / "a.avi"
    path.write_bytes(short.read_bytes())
    cache = tmp_path / "cache"
    calls = []
    original = frames.sample_frames
    monkeypatch.setattr(frames, "sample_frames", lambda *a: calls.append(a) or original(*a))
    first = select_frames(path, FrameConfig(), PIXEL, cache)
    assert select_frames(path, FrameConfig(), PIXEL, cache) == first == select_frames(path, FrameConfig(), PIXEL)
    assert len(calls) == 2
    # Whatever changes the result is decoded again.
    assert len(select_frames(path, FrameConfig(size=2), PIXEL, cache)) == 2
    other = PixelFeatures()
    other.fingerprint = "another"
    select_frames(path, FrameConfig(), other, cache)
    path.write_bytes(short.read_bytes()[:-1] + b"!")
    select_frames(path, FrameConfig(), PIXEL, cache)
    assert len(calls) == 5
    files = sorted(cache.rglob("*"))
    assert all(file.suffix == ".json" for file in files if file.is_file())


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'[{"data": "AAAA"}]', None])
def test_damaged_pictures_are_made_again(damage, short, tmp_path, caplog):
    first = select_frames(short, FrameConfig(), PIXEL, tmp_path)
    file = next(tmp_path.rglob("*.json"))
    if damage is None:  # a picture that is not the one that was kept
        rows = json.loads(file.read_text())
        rows[0]["data"] = rows[1]["data"]
        damage = json.dumps(rows).encode()
    file.write_bytes(damage)
    assert select_frames(short, FrameConfig(), PIXEL, tmp_path) == first
    assert "made again" in caplog.text
    assert json.loads(file.read_text())


def test_a_cache_that_cannot_be_written_costs_no_result(short, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file")
    assert select_frames(short, FrameConfig(), PIXEL, tmp_path / "cache")
    assert "not kept" in caplog.text


# -- whole videos --------------------------------------------------------------------------------------------------


def test_a_small_mp4_is_sent_as_it_is(repeats):
    picture = whole_video(repeats)
    assert picture.data == repeats.read_bytes()
    assert (picture.media_type, picture.origin) == ("video/mp4", "repeats.mp4")


def test_another_video_is_encoded_anew(short, tmp_path):
    path = short
    config = VideoConfig(per_second=5, longest_side=98)
    picture = whole_video(path, config, tmp_path / "cache")
    assert picture == whole_video(path, config, tmp_path / "cache") == whole_video(path, config)
    assert "5 frames a second" in picture.origin
    (tmp_path / "b.mp4").write_bytes(picture.data)
    found = list(sample_frames(tmp_path / "b.mp4", 1000))
    assert len(found) == 10
    assert found[-1].time_s == pytest.approx(1.8, abs=0.11)
    assert found[0].image.size == (98, 66)
    assert np.asarray(found[0].image).mean() == pytest.approx(scene(0).mean(), abs=4)
    with pytest.raises(InputError, match="may be sent; cut it"):
        whole_video(path, VideoConfig(megabytes=0.001))


# -- features ------------------------------------------------------------------------------------------------------


def test_pixels_see_scenes_and_not_exposure_noise_or_compression():
    rng = np.random.default_rng(0)

    def image(picture: np.ndarray, quality: int) -> "Image.Image":
        file = io.BytesIO()
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
        return Image.open(file)

    first = PIXEL.encode([image(scene(n), 95) for n in range(12)])
    again = PIXEL.encode([image(shot(scene(n), 1, rng)[0], 40) for n in range(12)])
    assert first.dtype == np.float32
    assert np.linalg.norm(first, axis=1) == pytest.approx(1, abs=1e-5)
    alike = first @ again.T
    assert np.diag(alike).min() > PIXEL.threshold
    assert alike[~np.eye(12, dtype=bool)].max() < 0.9
    # Nothing to see is no error.
    flat = PIXEL.encode([Image.new("RGB", (5, 300), color) for color in ("black", "white", "red")])
    assert np.isfinite(flat).all()


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP of random weights: it shows that the path works, not how good the choice is."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.CLIPConfig(
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        text_config={**sizes, "vocab_size": 50, "max_position_embeddings": 8},
        projection_dim=24,
    )
    folder = tmp_path_factory.mktemp("clip")
    transformers.CLIPModel(config).save_pretrained(folder)
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 32, "width": 32},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def test_clip_from_a_folder(clip_folder, short):
    import torch
    from transformers import CLIPModel

    images = [Image.fromarray(scene(n).astype(np.uint8)) for n in range(5)]
    features = load_frame_features(FrameFeaturesConfig(str(clip_folder), batch_size=2))
    found = features.encode(images)
    assert found.shape == (5, 24)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    # The whole model's own image features, from the same pixels.
    processor, _ = features._parts
    with torch.inference_mode():
        pixels = processor(images=images, return_tensors="pt")["pixel_values"]
        model = CLIPModel.from_pretrained(clip_folder).eval()
        expected = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output).numpy()
    assert pixels.shape == (5, 3, 32, 32)
    assert found == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-5)
    kept = select_frames(short, FrameConfig(size=3, threshold=0.9999), features)
    assert len({picture.digest for picture in kept}) == 3
    half = load_frame_features(FrameFeaturesConfig(str(clip_folder), dtype="bfloat16"))
    assert half.fingerprint != features.fingerprint
    assert (half.encode(images) * found).sum(axis=1).min() > 0.99


def test_the_fingerprint_is_that_of_weights_and_settings(clip_folder, tmp_path):
    def fingerprint() -> str:
        return load_frame_features(FrameFeaturesConfig(str(tmp_path))).fingerprint

    for file in clip_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert fingerprint() == load_frame_features(FrameFeaturesConfig(str(clip_folder))).fingerprint
    before = fingerprint()
    for name in ("preprocessor_config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b" ")
        assert fingerprint() != before
        before = fingerprint()
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert load_frame_features(FrameFeaturesConfig("a/b", commit)).fingerprint == f"{commit}-float32"


def test_wrong_features_are_one_line(clip_folder, tmp_path):
    def refused(message: str, **settings) -> None:
        with pytest.raises(InputError, match=message) as error:
            load_frame_features(FrameFeaturesConfig(**settings)).encode([Image.new("RGB", (9, 9))])
        assert "\n" not in str(error.value)

    refused("leave it out here", name="pixels", revision="main")
    refused("leave it out here", name=str(clip_folder), revision="main")
    refused("no such folder", name="./none")
    refused("needs config.json", name=str(tmp_path))
    refused("at least 1", batch_size=0)
    for file in clip_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    refused("cannot be loaded", name=str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    refused("is a bert, no CLIP model", name=str(tmp_path))


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (FrameConfig, {"size": 0}, "above zero"),
        (FrameConfig, {"threshold": 1.5}, "cosine similarity"),
        (FrameConfig, {"quality": 100}, "quality 1 to 95"),
        (FrameConfig, {"longest_side": 5}, "16 to 8192"),
        (VideoConfig, {"megabytes": 0}, "above zero"),
        (FrameFeaturesConfig, {"dtype": "int8"}, "dtype"),
    ],
)
def test_settings_out_of_range(kind, settings, message):
    with pytest.raises(InputError, match=message):
        parse_config(kind, settings, where="a.yaml")


@pytest.mark.parametrize("kind", [FrameConfig, VideoConfig, FrameFeaturesConfig])
def test_settings_are_flags(kind):
    assert parse_config(kind, as_plain(kind()), where="a.yaml")[0] == kind()
