"""The command line as its users meet it: a small run trained once, then used; and every kind of bad input."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from sugar import Recognizer
from sugar.cli.main import main
from sugar.datasets.store.store import Store, write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.models.llm.weights import BUILT_IN_FOLDER
from sugar.skeleton.layouts import NTU25

CLASSES = ("wave with one hand", "clap", "kick", "squat", "sit down", "stand up", "bow", "jump")
ONE_EPOCH = {"loop": {"epochs": 1, "batch_size": 32}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "synthetic"
    write_store(path, generate(12, 0, CLASSES), name="synthetic", classes=CLASSES, layout=NTU25, source="test")
    return path


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in LLM as a folder of one's own."""
    return shutil.copytree(BUILT_IN_FOLDER, tmp_path_factory.mktemp("llm") / "model")


def write_config(path: Path, store: Path, llm: Path, **changes: object) -> Path:
    values = {
        "data": {"store": str(store), "protocol": "synthetic-cross-person"},
        "knowledge": {"pack": "synthetic"},
        "model": {"frames": 32, "language": {"name": str(llm), "lora_rank": 8}},
        "alignment": {"loop": {"epochs": 8, "batch_size": 16}},
        "baseline": ONE_EPOCH,
        "instruction": ONE_EPOCH,
    }
    path.write_text(yaml.safe_dump(values | changes))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, store: Path, llm: Path) -> Path:
    folder = tmp_path_factory.mktemp("run")
    config = write_config(folder / "config.yaml", store, llm)
    assert main(["train", str(config), "--out", str(folder / "run"), "--seed", "3"]) == 0
    return folder / "run"


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], *words: str) -> None:
    """The command ends with 2, one line on standard error that says these words, nothing on standard output."""
    capsys.readouterr()
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("sugar: ")
    for word in words:
        assert word in err


def test_the_run_folder_holds_what_recognition_needs(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {
        *("config.yaml", "classes.json", "environment.json", "metrics.jsonl", "fusion.json", "texts", "adapter"),
        *(f"{part}.safetensors" for part in ("encoder", "projection", "baseline", "projector")),
    } <= names
    environment = json.loads((run / "environment.json").read_text())
    assert environment["dropped_persons"] == {"persons": 0, "clips": 0}
    assert environment["llm"]["hash_before"] == environment["llm"]["hash_after"]
    assert environment["seed"] == 3
    assert yaml.safe_load((run / "config.yaml").read_text())["seed"] == 3
    stages = {json.loads(line)["stage"] for line in (run / "metrics.jsonl").read_text().splitlines()}
    assert stages == {"alignment", "baseline", "instruction"}
    assert not [path for path in run.rglob("*") if path.suffix in (".pkl", ".pt", ".bin")]


def test_eval_reports_every_scorer(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["eval", str(run), "--out", str(tmp_path / "report"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["n"] == 32
    assert list(printed["scores"]) == ["fc", "text", "motion", "llm", "fused"]
    for scores in printed["scores"].values():
        assert {"top1", "top5", "mean_class", "ece"} <= scores.keys()
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["scores"] == printed["scores"]
    assert report["split"] == "test"
    assert main(["eval", str(run), "--out", str(tmp_path / "val"), "--split", "validation", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 8
    report_folder = str(tmp_path / "report")
    assert main(["lab", "compare", report_folder, report_folder, "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)["scores"]
    assert {figures["differences"]["top1"]["difference"] for figures in compared.values()} == {0.0}
    refused(capsys, ["lab", "compare", report_folder, str(tmp_path / "val")], "clips")
    refused(capsys, ["lab", "compare", report_folder, str(tmp_path / "nothing")], "nothing")


def test_ablate_refuses_what_is_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.yaml").write_text("title: x\n")
    flags = ["--out", str(tmp_path / "out"), "--seeds", "0", "2", "--rows", "a row", "another"]
    refused(capsys, ["lab", "ablate", str(tmp_path / "t.yaml"), *flags], "t.yaml")
    assert not (tmp_path / "out").exists()


def test_actions_that_were_never_trained_are_evaluated_alone_and_among_all(
    store: Path, llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "zsl.yaml").write_text("base: synthetic-cross-person\nunseen: [clap, squat]\n")
    config = write_config(
        tmp_path / "config.yaml",
        store,
        llm,
        data={"store": str(store), "protocol": str(tmp_path / "zsl.yaml"), "validation": {"by": "none"}},
        stages=["alignment", "baseline"],
    )
    run = tmp_path / "run"
    flags = ["--model.motion.space", "claims"]
    assert main(["train", str(config), "--out", str(run), *flags]) == 0
    capsys.readouterr()
    assert main(["eval", str(run), "--out", str(tmp_path / "unseen"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["n"] == 8
    assert printed["scores"]["fused"]["top1"] == printed["scores"]["motion"]["top1"] > 0.8
    assert set(printed["harmonic"]) == {"fc", "text", "motion", "fused"}
    section = json.loads((tmp_path / "unseen" / "report.json").read_text())["zero_shot"]
    assert (section["candidates"], section["chance"]) == (2, 0.5)
    general = section["scores"]["fused"]["generalized"]
    both = 2 * general["seen"] * general["unseen"] / (general["seen"] + general["unseen"])
    assert general["harmonic"] == pytest.approx(both) == pytest.approx(printed["harmonic"]["fused"])
    # The same by the generalized protocol: all classes of the test side in one list.
    (tmp_path / "all.yaml").write_text("base: synthetic-cross-person\nunseen: [clap, squat]\ngeneralized: true\n")
    assert main(["eval", str(run), "--protocol", str(tmp_path / "all.yaml"), "--out", str(tmp_path / "all")]) == 0
    whole = json.loads((tmp_path / "all" / "report.json").read_text())
    assert whole["n"] == 32
    assert whole["zero_shot"]["scores"]["fused"]["generalized"] == general
    # Of another data set only what means none of the trained actions.
    of_all = ["--protocol", "subject:1/2-99", "--out", str(tmp_path / "n"), "--transductive"]
    capsys.readouterr()
    assert main(["eval", str(run), *of_all]) == 2
    assert "--transductive: some candidates were trained" in capsys.readouterr().err
    assert main(["eval", str(run), *of_all, "--classes", "new"]) == 0
    new = json.loads((tmp_path / "n" / "report.json").read_text())
    assert "fused, transductive" not in section["scores"]  # only when asked
    assert new["zero_shot"]["scores"]["fused, transductive"]["top1"] > 0.5
    assert "fused, transductive" not in new["scores"]
    assert "fused, transductive" in (tmp_path / "n" / "report.html").read_text()
    assert new["classes"] == ["clap", "squat"]
    assert set(new["zero_shot"]["excluded"]) == set(CLASSES) - {"clap", "squat"}


def test_predict_takes_files_stores_and_standard_input(
    run: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = Store.open(store)[0]
    np.savez(tmp_path / "clip.npz", joints=clip.joints, layout="ntu25", fps=30.0)
    as_dict = {"joints": clip.joints.tolist(), "layout": "ntu25", "clip_id": "mine"}
    (tmp_path / "clip.json").write_text(json.dumps(as_dict))
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(json.dumps(as_dict) for _ in range(2))))
    capsys.readouterr()
    sources = [str(tmp_path / "clip.npz"), str(tmp_path / "clip.json"), "-"]
    assert main(["predict", "--model", str(run), *sources, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [f["clip_id"] for f in found] == ["clip", "mine", "mine", "mine"]
    for one in found:
        assert one["label"] == one["top"][0][0] == found[0]["label"]
        assert set(one["scores"]) == {"fc", "text", "motion", "llm", "fused"}
        assert one["facts"]["measured"].endswith(".")
        assert all(claim["holds"] in (True, False, None) for claim in one["facts"]["claims"])
        assert sum(one["scores"]["llm"].values()) == pytest.approx(1, abs=1e-3)
    assert main(["predict", "--model", str(run), str(store), "--candidates", "sit down,ride a horse", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(Store.open(store))
    assert {json.loads(line)["label"] for line in lines} <= {"sit down", "ride a horse"}
    assert "motion" not in json.loads(lines[0])["scores"]  # nothing is known of how one rides a horse
    clip = str(tmp_path / "clip.json")
    assert (
        main(["predict", "--model", str(run), clip, "--candidates", "march on the spot,jumping jacks", "--json"]) == 0
    )
    assert "motion" in json.loads(capsys.readouterr().out)["scores"]  # the run's pack knows both
    refused(capsys, ["predict", "--model", str(run), clip, "--candidates", "a,b", "--knowledge", "none"], "none")


def test_predict_reads_clips_in_the_runs_own_layout_and_by_their_dataset_yaml(
    run: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = Store.open(store)[0]
    assert main(["predict", "--model", str(run), str(store), "--json"]) == 0
    expected = json.loads(capsys.readouterr().out.splitlines()[0])["scores"]["text"]
    own = shutil.copytree(run, tmp_path / "run")
    about = json.loads((own / "classes.json").read_text())
    about["layout"]["name"] = "rig25"  # as if it had been trained on a rig with that many joints
    (own / "classes.json").write_text(json.dumps(about))
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "a.npz", joints=clip.joints, layout="rig25")
    np.savez(tmp_path / "mine" / "b.npz", joints=clip.joints[..., [0, 2, 1]] * [1000, -1000, 1000])
    sources = [str(tmp_path / "mine" / "a.npz"), str(tmp_path / "mine" / "b.npz"), str(tmp_path / "mine")]
    refused(capsys, ["predict", "--model", str(own), sources[2]], "it is no store", "sugar data import files")
    (tmp_path / "mine" / "dataset.yaml").write_text("{units: mm, up: z}")
    assert main(["predict", "--model", str(own), *sources[1:2], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["text"] == pytest.approx(expected, abs=1e-3)
    (tmp_path / "mine" / "dataset.yaml").unlink()
    assert main(["predict", "--model", str(own), *sources[:1], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["text"] == pytest.approx(expected, abs=1e-3)
    refused(capsys, ["predict", "--model", str(run), *sources[:1]], "rig25")
    (tmp_path / "mine" / "a.npz").unlink()
    (tmp_path / "mine" / "dataset.yaml").write_text("{units: mm, up: z}")
    assert main(["predict", "--model", str(own), *sources[2:], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clip_id"] == "b"
    assert found["scores"]["text"] == pytest.approx(expected, abs=1e-3)


def test_the_python_interface(run: Path, store: Path) -> None:
    clips = Store.open(store)
    model = Recognizer.load(run)
    found = model.recognize(clips[5], candidates=["sit down", "stand up"])
    assert found.label in ("sit down", "stand up")
    assert sum(found.scores["fused"].values()) == pytest.approx(1)
    together = model.recognize_all([clips[5], clips[30]], ["sit down", "stand up"])
    assert together[0].scores["text"] == pytest.approx(found.scores["text"], abs=1e-4)
    assert together[0].scores["llm"] == pytest.approx(found.scores["llm"], abs=1e-4)
    assert model.recognize_all([]) == []
    for name in ("a" * 3000, "é" * 199, "a\ud800", "a\x1b"):
        with pytest.raises(InputError, match=r"more than 2|cannot be printed"):
            model.recognize(clips[5], candidates=["sit down", name])
    with pytest.raises(InputError, match="give a list of names"):
        model.recognize(clips[5], candidates="sit down")


def test_resume_of_a_finished_run_changes_nothing(run: Path, store: Path, llm: Path, tmp_path: Path) -> None:
    before = (run / "encoder.safetensors").read_bytes(), (run / "projector.safetensors").read_bytes()
    config = write_config(tmp_path / "config.yaml", store, llm)
    assert main(["train", str(config), "--out", str(run), "--seed", "3", "--resume"]) == 0
    assert ((run / "encoder.safetensors").read_bytes(), (run / "projector.safetensors").read_bytes()) == before


def test_bad_use_of_train(
    run: Path, store: Path, llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = write_config(tmp_path / "good.yaml", store, llm), str(tmp_path / "out")
    refused(capsys, ["train", str(tmp_path / "none.yaml"), "--out", out], "none.yaml")
    bad = write_config(tmp_path / "bad.yaml", store, llm, alignment={"loop": {"epoch": 3}})
    refused(capsys, ["train", str(bad), "--out", out], "bad.yaml", "epoch")
    wrong = write_config(tmp_path / "wrong.yaml", store, llm, alignment={"loop": {"epochs": "many"}})
    refused(capsys, ["train", str(wrong), "--out", out], "wrong.yaml", "alignment.loop.epochs")
    refused(capsys, ["train", str(config), "--out", out, "--alignment.loop.epoch", "3"], "--alignment.loop.epoch")
    refused(capsys, ["train", str(config), "--out", out, "--seed", "x"], "seed")
    refused(capsys, ["train", str(config), "--out", out, "--knowledge.pack", "nope"], "nope")
    refused(capsys, ["train", str(config), "--out", out, "--knowledge.pack", "nw_ucla"], "nw_ucla", "no texts of class")
    refused(capsys, ["train", str(config), "--out", out, "--store", "gone"], "gone")
    refused(capsys, ["train", str(config), "--out", out, "--data.protocol", "p9"], "p9")
    broken = shutil.copytree(llm, tmp_path / "llm")
    (broken / "model.safetensors").unlink()
    refused(capsys, ["train", str(config), "--out", out, "--llm", str(broken)], "weights")
    assert not Path(out).exists()
    refused(capsys, ["train", str(config), "--out", str(run)], "--resume")
    refused(capsys, ["train", str(config), "--out", str(run), "--resume", "--seed", "4"], "seed")
    refused(
        capsys,
        ["train", str(config), "--out", str(run), "--resume", "--seed", "3", "--instruction.lists.shuffle", "false"],
        "shuffle",
    )
    refused(capsys, ["trian"], "trian")
    refused(capsys, [], "command")


@pytest.mark.parametrize(
    "part",
    [
        *("config.yaml", "classes.json", "environment.json", "texts/texts.json", "adapter/adapter_model.safetensors"),
        *("encoder.safetensors", "projection.safetensors", "projector.safetensors", "baseline.safetensors"),
    ],
)
def test_a_run_with_a_missing_file(
    part: str, run: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / part).unlink()
    refused(capsys, ["predict", "--model", str(copy), str(store)], str(tmp_path))
    refused(capsys, ["eval", str(copy), "--out", str(tmp_path / "report")], str(tmp_path))
    assert not (tmp_path / "report").exists()


def test_a_run_of_another_version(run: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    described = json.loads((copy / "classes.json").read_text())
    for written in (described["format"] + 1, "new"):
        (copy / "classes.json").write_text(json.dumps(described | {"format": written}))
        refused(capsys, ["predict", "--model", str(copy), str(store)], f"format {written!r}", "train again")
    del described["format"]  # as the first runs were written
    (copy / "classes.json").write_text(json.dumps(described))
    shutil.copy(copy / "projection.safetensors", copy / "encoder.safetensors")
    refused(capsys, ["predict", "--model", str(copy), str(store)], "encoder.safetensors", "older version")


def clip_json(**changes: object) -> str:
    joints = np.random.default_rng(0).normal(size=(4, 25, 3)).tolist()
    return json.dumps({"joints": joints, "layout": "ntu25"} | changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (clip_json()[:200], "truncated"),
        ("", "empty"),
        (clip_json(joints=[[[0.0, 1.0, 2.0]] * 24]), "24"),
        (clip_json().replace("[[[", "[[[NaN, 1, 2], [", 1), "joints"),
        (clip_json(joints=[[[float("nan"), 1.0, 2.0]] * 25]), "finite"),
        (clip_json(joints=[[[float("inf"), 1.0, 2.0]] * 25]), "finite"),
        (clip_json(joints=[[["a", 1.0, 2.0]] * 25]), "numbers"),
        (clip_json(joints=[]), "joints"),
        (clip_json(joints=[[[0.0, 0.0, 0.0]] * 25]), "zero"),
        (clip_json(layout="octopus8"), "octopus8"),
        (clip_json(fps=-1), "fps"),
        (clip_json(speed=3), "speed"),
        ("[1, 2]", "object"),
    ],
)
def test_bad_clips(text: str, words: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clip.json").write_text(text)
    refused(capsys, ["predict", "--model", str(run), str(tmp_path / "clip.json")], "clip.json", words)


def test_bad_use_of_predict(run: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict = ["predict", "--model", str(run), str(store), "--candidates"]
    refused(capsys, [*predict, ""], "--candidates", "empty")
    refused(capsys, [*predict, " , "], "--candidates", "empty")
    refused(capsys, [*predict, "sit down,stand up,sit down"], "'sit down'", "twice")
    refused(capsys, ["predict", "--model", str(run), str(tmp_path / "gone.json")], "gone.json")
    (tmp_path / "clip.txt").write_text("x")
    refused(capsys, ["predict", "--model", str(run), str(tmp_path / "clip.txt")], "neither of MSR Action3D")
    refused(capsys, ["predict", "--model", str(tmp_path), str(store)], str(tmp_path))
    other = {"joints": np.ones((3, 20, 3)).tolist(), "layout": "kinect20"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    refused(capsys, ["predict", "--model", str(run), str(tmp_path / "other.json")], "at one point")
    other = {"joints": np.random.default_rng(0).random((3, 17, 2)).tolist(), "layout": "coco17"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    refused(
        capsys, ["predict", "--model", str(run), str(tmp_path / "other.json")], "coco17 cannot become 3-D layout ntu25"
    )
    with pytest.raises(InputError, match="twice"):
        Recognizer.load(run).recognize(Store.open(store)[0], candidates=["a", "a"])


def test_stores_that_cannot_be_read(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))
    refused(capsys, ["data", "info", str(copy)], "newer", "99")
    refused(capsys, ["data", "info", str(tmp_path / "none")], "none")
    refused(capsys, ["data", "import", "nw-ucla", str(tmp_path / "none"), str(tmp_path / "new")], "none")
    refused(capsys, ["data", "import", "kinetiks", str(tmp_path), str(tmp_path / "new")], "kinetiks")
    assert not (tmp_path / "new").exists()


def test_stores_tell_their_clips_and_times(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = Store.open(store).clip_ids
    show, out = ["data", "show", str(store)], ["--out", str(tmp_path / "a.gif")]
    refused(capsys, [*show, "nobody", *out], "no clip 'nobody'", f"its 96 clips: {', '.join(ids[:5])}, ...")
    refused(capsys, [*show, ids[7][:-1], *out], ids[7])
    (tmp_path / "clip.json").write_text(clip_json())
    refused(capsys, ["data", "show", str(tmp_path / "clip.json"), "x", "--out", "a.gif"], "its 1 clip: clip")
    assert main(["data", "info", str(store)]) == 0
    assert f"first_clips: {', '.join(ids[:5])}\n" in capsys.readouterr().out
    assert main(["data", "stats", str(store)]) == 0
    printed = capsys.readouterr().out
    assert "fps: 30\n" in printed
    median = np.median([clip.num_frames / clip.fps for clip in Store.open(store)])
    assert f"median {median:.3g}\n" in printed


def test_data_and_knowledge_commands(nw_ucla_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = str(tmp_path / "new")
    assert main(["data", "import", "nw-ucla", str(nw_ucla_folder), new]) == 0
    capsys.readouterr()
    assert main(["data", "info", new, "--protocol", "nw-ucla-cross-view", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    sides = info["protocol"]["train"], info["protocol"]["test"]
    assert (info["clips"], *(side["clips"] for side in sides)) == (1484, 1020, 464)
    assert [side["cameras"] for side in sides] == [[1, 2], [3]]
    assert main(["data", "validate", str(next(iter(sorted(nw_ucla_folder.glob("*.json")))))]) == 0
    assert main(["knowledge", "show", "nw_ucla", "--class", "throw"]) == 0
    assert "throw" in capsys.readouterr().out
    refused(capsys, ["knowledge", "show", "nw_ucla", "--class", "fly"], "fly")
