"""The `sugar data` commands as their users meet them, on tiny sources."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_sources import MAKERS, OPTIONS, put

from sugar.cli.data import FORMATS
from sugar.cli.main import main
from sugar.datasets.formats.pyskl import PysklReader
from sugar.datasets.formats.source import read_source
from sugar.datasets.store.importing import CHUNK_FILES
from sugar.datasets.store.store import Store
from sugar.skeleton.clip import SkeletonClip


def source_of(case: str, folder: Path) -> Path:
    for name, content in MAKERS[case][1]().files.items():
        put(folder / name, content)
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command prints that ends well."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a command that ends with 2."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.fixture
def store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Four clips of two people and two classes, with subjects."""
    joints = np.random.default_rng(0).normal(size=(4, 5, 1, 20, 3)).tolist()
    for i, clip in enumerate(joints):
        record = {"joints": clip, "layout": "kinect20", "subject": i % 2 + 1, "camera": 1}
        put(tmp_path / "in" / ("wave", "sit")[i // 2] / f"{i}.json", json.dumps(record).encode())
    out = run(capsys, "data", "import", "files", tmp_path / "in", tmp_path / "store")
    assert out == f"{tmp_path / 'store'}: 4 clips of 2 classes, 0 rejected\n"
    return tmp_path / "store"


@pytest.mark.parametrize("case", MAKERS)
def test_every_format_is_imported_shown_and_validated(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = MAKERS[case][0]
    options = [f"--{key}={value}" for key, value in OPTIONS.get(name, {}).items()]
    source, new = source_of(case, tmp_path / "in"), tmp_path / "new"
    out = run(capsys, "data", "import", name, source, new, *options)
    assert out.startswith(f"{new}: 1 clip of ")
    assert out.endswith(", 0 rejected\n")
    assert json.loads(run(capsys, "data", "info", new, "--json"))["clips"] == 1
    assert "1 valid clip, 0 rejected" in run(capsys, "data", "validate", new)
    if name != "openpose":
        assert "it is no store; import it first: sugar data import" in refused(capsys, "data", "validate", source)


@pytest.mark.parametrize("name", FORMATS)
def test_every_option_of_every_format_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["data", "import", name, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert (FORMATS[name].__doc__ or "").split("\n")[0].split(":")[0] in " ".join(text.split())
    options = text.split("options:")[1].split("\n  -")[1:]
    assert len(options) > 1
    for option in options:
        words = " ".join(option.split())
        assert len(words.split(" (type:")[0].split()) > 4, words


def test_workers_do_not_change_the_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = MAKERS["nw-ucla"][1]()
    for i in range(2 * CHUNK_FILES + 1):
        put(tmp_path / "in" / f"a01_s01_e{i:04d}_v01.json", content.files[content.main])
    for workers in (1, 2):
        run(capsys, "data", "import", "nw-ucla", tmp_path / "in", tmp_path / f"{workers}", f"--workers={workers}")
    assert Store.open(tmp_path / "1").hash == Store.open(tmp_path / "2").hash
    assert "--workers must be" in refused(
        capsys, "data", "import", "nw-ucla", tmp_path / "in", tmp_path / "3", "--workers=-1"
    )


def test_rejected_files_are_told(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):
        put(tmp_path / "in" / f"bad{i}.json", b"{")
    capsys.readouterr()
    assert main(["data", "import", "files", str(tmp_path / "in"), str(store)]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("12 rejected\n")
    assert err.count("rejected bad") == 10
    assert "and 2 more: see" in err


@pytest.mark.parametrize("form", ["npz", "json", "csv", "parquet"])
def test_what_is_exported_is_imported_again(
    form: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "data", "export", form, store, tmp_path / "files") == f"{tmp_path / 'files'}: 4 clips\n"
    run(capsys, "data", "import", "files", tmp_path / "files", tmp_path / "back")
    assert Store.open(tmp_path / "back").hash == Store.open(store).hash
    assert "already there" in refused(capsys, "data", "export", form, store, tmp_path / "files")
    assert "only pyskl" in refused(capsys, "data", "export", form, store, tmp_path / "x", "--protocol=subject:1/2")


def test_pyskl_is_exported_with_splits(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "data", "export", "pyskl", store, tmp_path / "a.pkl", "--protocol", "subject:1/2")
    (tmp_path / "classes.txt").write_text("sit\nwave\n")
    clips = list(read_source(PysklReader(str(tmp_path / "classes.txt"), "kinect20"), tmp_path / "a.pkl"))
    assert [clip.label for clip in clips if isinstance(clip, SkeletonClip)] == ["sit", "sit", "wave", "wave"]
    assert b"subject:1/2_train" in (tmp_path / "a.pkl").read_bytes()
    (tmp_path / "a.pkl").unlink()
    for there in ("a.classes.txt", "classes.txt"):
        before = (tmp_path / there).read_bytes()
        line = refused(capsys, "data", "export", "pyskl", store, tmp_path / there.replace(".classes.txt", ".pkl"))
        assert f"{tmp_path / there}: it is already there" in line
        assert (tmp_path / there).read_bytes() == before
    assert "octopus" in refused(capsys, "data", "export", "octopus", store, tmp_path / "b")


def test_stores_are_shown_and_measured(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stats = json.loads(run(capsys, "data", "stats", store, "--json"))
    assert (stats["clips"], stats["classes"]) == (4, {"sit": 2, "wave": 2})
    assert "wave" in run(capsys, "data", "stats", store)
    for source, words in ((store, ["wave/1"]), (tmp_path / "in" / "wave" / "1.json", [])):
        run(capsys, "data", "show", source, *words, "--out", tmp_path / "a.gif", "--size", "160", "--views", "front")
        assert (tmp_path / "a.gif").read_bytes().startswith(b"GIF8")
    assert "no clip 'x'" in refused(capsys, "data", "show", store, "x", "--out", tmp_path / "b.gif")
    assert "there is no store" in refused(capsys, "data", "stats", tmp_path / "in")
    assert run(capsys, "data", "validate", tmp_path / "in" / "wave" / "1.json").endswith(": 1 valid clip\n")
    info = run(capsys, "data", "info", store, "--protocol", "subject:1/2")
    assert "train: clips 2" in info


def test_stores_are_combined(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = source_of("ntu120", tmp_path / "ntu")
    (file,) = source.iterdir()
    (source / file.name.replace("P001", "P002")).write_bytes(file.read_bytes())
    run(capsys, "data", "import", "ntu120", source, tmp_path / "other")
    parts = f"{store}=subject:1/2", f"{tmp_path / 'other'}=subject:1/2"
    out = run(capsys, "data", "combine", tmp_path / "both", *parts)
    assert ": 6 clips of " in out
    assert Store.open(tmp_path / "both").layout.name == "kinect20"
    for own in (store, store / ".." / "store"):
        assert "one of the stores to combine" in refused(capsys, "data", "combine", own, *parts)
    assert "STORE=PROTOCOL" in refused(capsys, "data", "combine", tmp_path / "x", store)
