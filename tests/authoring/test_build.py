"""`sugar knowledge build` against a real HTTP server that plays back a pack, and the commands around it."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from answering_server import AnsweringServer, Faults
from playback import contrasted_class, play_back

from sugar.cli.main import main
from sugar.datasets.protocols.protocols import ValidationConfig, get_protocol, split
from sugar.datasets.store.store import Store, write_store
from sugar.datasets.synthetic import generate
from sugar.facts.grammar import parse
from sugar.knowledge.embed import EmbeddingCache, TextEncoderConfig, load_text_encoder
from sugar.knowledge.pack import KnowledgePack, load_pack
from sugar.knowledge.quality.checks import check_pack
from sugar.knowledge.quality.figures import ALL, measure_quality
from sugar.skeleton.layouts import NTU25

NAMES = ("clap", "kick", "sit down")
KEY = "sk-test-0123456789abcdef"


@pytest.fixture(scope="module")
def pack() -> KnowledgePack:
    return load_pack("synthetic").subset(NAMES)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("store") / "s"
    return write_store(path, generate(12, 0, NAMES), name="s", classes=NAMES, layout=NTU25, source="test")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def config(path: Path, server: AnsweringServer, **changes: object) -> str:
    values = {
        "name": "mine",
        "classes": list(NAMES),
        "author": "a test",
        "license": "CC0-1.0",
        "provider": {"name": "played back", "base_url": server.base_url, "timeout": 20.0},
        "running": {"concurrency": 1, "backoff": 0.01},
        "motion": {"texts": len(load_pack("synthetic")["clap"].motion)},
        "descriptions": {"texts": len(load_pack("synthetic")["clap"].descriptions)},
    }
    path.write_text(yaml.safe_dump(values | changes))
    return str(path)


def build(*arguments: object) -> int:
    return main(["knowledge", "build", *map(str, arguments)])


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_pack_that_is_played_back_is_built_again(pack, store, tmp_path, capsys) -> None:
    visual = {"source": "drawn", "store": str(store.path), "protocol": "synthetic-cross-person", "send": "frames"}
    with AnsweringServer(play_back(pack), key=KEY) as server:
        file = config(tmp_path / "c.yaml", server, visual=visual | {"clips": len(pack["clap"].visual)})
        assert build(file, "--out", tmp_path / "out") == 0
        asked = server.record()
    built = load_pack(tmp_path / "out" / "pack.yaml")
    assert built.names == NAMES
    for name in NAMES:
        assert built[name].motion == pack[name].motion
        assert built[name].visual == pack[name].visual
        assert built[name].descriptions == pack[name].descriptions
        assert [parse(text) for text in built[name].motion_sentences] == [
            parse(text) for text in pack[name].motion_sentences
        ]
    # Every text has its origin, and that of visual texts names clips of the training side.
    origins = rows(tmp_path / "out" / "texts.jsonl")
    texts = [text for e in built.classes for text in (*e.motion, *e.visual, *e.descriptions, *e.motion_sentences)]
    assert sorted(row["text"] for row in origins) == sorted(texts)
    assert all(row["model"]["name"] == "played back" and len(row["key"]) == 64 for row in origins)
    shown = [row for row in origins if row["kind"] == "visual"]
    assert all("drawn skeleton" in picture for row in shown for picture in row["media"])
    sides = split(store, get_protocol("synthetic-cross-person"), ValidationConfig(by="none"))
    assert {store.index(row["clip"]) for row in shown} <= set(sides.train.tolist())
    assert sum(entry["images"] for entry in asked) >= len(shown)
    # The same again asks nothing, and says so.
    before = (tmp_path / "out" / "pack.yaml").read_bytes()
    with AnsweringServer(play_back(pack), key=KEY) as server:
        file = config(tmp_path / "c.yaml", server, visual=visual | {"clips": len(pack["clap"].visual)})
        assert build(file, "--out", tmp_path / "out") == 0
        assert server.record() == []
    assert (tmp_path / "out" / "pack.yaml").read_bytes() == before
    # The key is in no file.
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()
    assert KEY not in "".join(capsys.readouterr())


def test_a_changed_config_asks_only_what_changed(pack, tmp_path) -> None:
    with AnsweringServer(play_back(load_pack("synthetic")), key=KEY) as server:
        file = config(tmp_path / "c.yaml", server)
        assert build(file, "--out", tmp_path / "out") == 0
        first = len(server.record())
        assert build(file, "--out", tmp_path / "out", "--classes", json.dumps([*NAMES, "jump"])) == 0
        assert len(server.record()) == first + 3  # motion, sentences and descriptions of one class
    assert load_pack(tmp_path / "out" / "pack.yaml").names == (*NAMES, "jump")


def test_what_has_no_answer_is_told_and_asked_again_on_request(pack, tmp_path, capsys) -> None:
    lacking = pack.subset(["clap", "kick"])
    with AnsweringServer(play_back(lacking), key=KEY) as server:
        assert build(config(tmp_path / "c.yaml", server), "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "sit down" in said
    assert "retry_failed" in said
    assert {row["item"] for row in rows(tmp_path / "out" / "failures.jsonl")} == {
        "motion/sit down",
        "motion sentences/sit down",
    }
    assert load_pack(tmp_path / "out" / "pack.yaml")["sit down"].motion == ()
    with AnsweringServer(play_back(pack), key=KEY) as server:
        file = config(tmp_path / "c.yaml", server)
        assert build(file, "--out", tmp_path / "out", "--running.retry_failed", "true") == 0
        assert len(server.record()) == 3
    assert not (tmp_path / "out" / "failures.jsonl").exists()
    assert load_pack(tmp_path / "out" / "pack.yaml")["sit down"].motion == pack["sit down"].motion


def test_a_dry_run_shows_questions_and_asks_and_writes_nothing(pack, tmp_path, capsys) -> None:
    with AnsweringServer(play_back(pack), key=KEY) as server:
        file = config(tmp_path / "c.yaml", server)
        assert build(file, "--out", tmp_path / "out", "--dry-run", "--running.prices.input", "2") == 0
        assert server.record() == []
    said = capsys.readouterr().out
    for part in ("--- motion: 3 to ask", "--- descriptions: 3 to ask", '"clap"', "9 requests", "cost about"):
        assert part in said
    assert not (tmp_path / "out").exists()


def test_the_cost_is_not_passed(pack, tmp_path, capsys) -> None:
    with AnsweringServer(play_back(pack), key=KEY) as server:
        file = config(tmp_path / "c.yaml", server, running={"concurrency": 1, "prices": {"input": 1e3, "output": 1e3}})
        assert build(file, "--out", tmp_path / "out", "--max-cost", "0.001") == 2
        assert 1 <= len(server.record()) < 9
        assert "max_cost" in capsys.readouterr().err
        assert build(file, "--out", tmp_path / "out", "--max-cost", "1000") == 0
        assert len(server.record()) == 9  # none twice


def test_a_stumbling_server_gives_the_same_pack(pack, tmp_path) -> None:
    with AnsweringServer(play_back(pack), key=KEY, faults=Faults(0.3, 3, ("429", "500", "cut_before"))) as server:
        file = config(tmp_path / "c.yaml", server, running={"concurrency": 4, "backoff": 0.01, "attempts": 9})
        assert build(file, "--out", tmp_path / "out") == 0
        assert len(server.record()) > 9
    built = load_pack(tmp_path / "out" / "pack.yaml")
    assert all(built[name].descriptions == pack[name].descriptions for name in NAMES)


def test_two_workers_build_the_same_pack(pack, store, tmp_path) -> None:
    pytest.importorskip("ray")
    visual = {"source": "drawn", "store": str(store.path), "protocol": "synthetic-cross-person", "clips": 2, "texts": 2}
    with AnsweringServer(play_back(pack), key=KEY) as server:
        file = config(tmp_path / "c.yaml", server, visual=visual)
        assert build(file, "--out", tmp_path / "out", "--workers", "2") == 0
        prompts = [(entry["prompt"], tuple(entry["sha256"])) for entry in server.record()]
        assert len(prompts) == len(set(prompts)) > 9 + 2 * len(NAMES)
    built = load_pack(tmp_path / "out" / "pack.yaml")
    for name in NAMES:
        assert (built[name].motion, built[name].descriptions) == (pack[name].motion, pack[name].descriptions)
        assert len(built[name].visual) == 2


def test_clips_are_described_one_by_one(pack, store, tmp_path) -> None:
    wanted = {"texts": 4, "store": str(store.path), "protocol": "synthetic-cross-person"}
    said = "A person is seen while the whole body moves in the usual way."

    def answer(asked):
        if "text" in asked.schema["properties"]:
            return {"text": said}
        return play_back(pack)(asked)

    with AnsweringServer(answer, key=KEY) as server:
        assert build(config(tmp_path / "c.yaml", server, descriptions=wanted), "--out", tmp_path / "out") == 0
    told = rows(tmp_path / "out" / "clip_descriptions.jsonl")
    sides = split(store, get_protocol("synthetic-cross-person"), ValidationConfig(by="none"))
    assert [store.index(row["clip_id"]) for row in told] == sides.train.tolist()
    assert {row["text"] for row in told} == {said}


def test_bare_names_are_explained_first(pack, tmp_path) -> None:
    def answer(asked):
        fields = asked.schema["properties"]
        if "clear" in fields:
            name = json.loads(asked.prompt.rstrip().splitlines()[-2].partition(": ")[2])
            return {
                "clear": True,
                "phrase": f"{name} briefly",
                "meaning": f"A person does {name} once.",
                "people": 1,
                "unlike": [],
                "difference": "",
            }
        return play_back(pack)(asked)

    with AnsweringServer(answer, key=KEY) as server:
        assert build(config(tmp_path / "c.yaml", server, expand=True), "--out", tmp_path / "out") == 0
        asked = server.record()
    assert len(asked) == 12
    assert all("A person does" in entry["prompt"] for entry in asked[3:])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "name is not given"),
        ({"classes": []}, "either classes"),
        ({"classes": ["a\u202eb"]}, "invisible"),
        ({"classes": ["wave", "Wave"]}, "given twice"),
        ({"visual": {"source": "videos"}}, "visual.videos"),
        ({"visual": {"source": "drawn", "store": "s"}}, "protocol"),
        ({"motion": {"texts": 0}}, "descriptions are made from motion"),
        ({"endpoints": ["http://a/v1"]}, "workers"),
    ],
)
def test_what_contradicts_itself_is_refused(changes, said, tmp_path, capsys) -> None:
    with AnsweringServer(play_back(load_pack("synthetic"))) as server:
        assert build(config(tmp_path / "c.yaml", server, **changes), "--out", tmp_path / "out") == 2
        assert server.record() == []
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_wrong_key_ends_the_job_at_once(pack, tmp_path, capsys) -> None:
    with AnsweringServer(play_back(pack), key="another") as server:
        assert build(config(tmp_path / "c.yaml", server), "--out", tmp_path / "out") == 2
        assert len(server.record()) <= 2
    assert KEY not in "".join(capsys.readouterr())
    assert not (tmp_path / "out" / "pack.yaml").exists()


def test_confusable_classes_are_asked_about_again(pack, tmp_path, capsys) -> None:
    first, second = contrasted_class(pack["clap"]), contrasted_class(pack["kick"])
    answers = {("clap", "kick"): {"difference": "Hands against feet.", "first": first, "second": second}}
    confusion = np.array([[1, 5, 0], [4, 2, 0], [0, 0, 6]])
    report = {"classes": list(NAMES), "details": {"fused": {"confusion": confusion.tolist()}}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    with AnsweringServer(play_back(pack, answers), key=KEY) as server:
        file = config(tmp_path / "c.yaml", server)
        assert build(file, "--out", tmp_path / "out") == 0
        flags = ["--provider.name", "played back", "--provider.base_url", server.base_url]
        pairs = ["--contrast.report", str(tmp_path / "report.json"), "--contrast.above", "0.2"]
        command = ["knowledge", "contrast", str(tmp_path / "out" / "pack.yaml"), "--out", str(tmp_path / "new.yaml")]
        assert main([*command, *flags, *pairs]) == 0
    assert "clap / kick: 0.75" in capsys.readouterr().out
    changed = load_pack(tmp_path / "new.yaml")
    assert changed["clap"].motion == pack["clap"].motion
    assert main(["knowledge", "diff", str(tmp_path / "out" / "pack.yaml"), str(tmp_path / "new.yaml")]) == 0
    assert main(["knowledge", "show", str(tmp_path / "out" / "pack.yaml"), "--out", str(tmp_path / "p.html")]) == 0
    assert "played back" in (tmp_path / "p.html").read_text()


def test_asking_how_confusable_classes_differ_makes_their_texts_less_alike(tmp_path, capsys) -> None:
    """Three of the closest pairs of a shipped pack; the figures are in docs/building_knowledge.md."""
    answers = yaml.safe_load((Path(__file__).parents[1] / "contrasts.yaml").read_text())
    script = {tuple(a["classes"]): {k: a[k] for k in ("difference", "first", "second")} for a in answers}
    pack = load_pack("utd_mhad")
    with AnsweringServer(play_back(pack, script), key=KEY) as server:
        flags = ["--provider.name", "played back", "--provider.base_url", server.base_url, "--contrast.pairs", "3"]
        assert main(["knowledge", "contrast", "utd_mhad", "--out", str(tmp_path / "new.yaml"), *flags]) == 0
        assert len(server.record()) == 3
    new = load_pack(tmp_path / "new.yaml")
    encoder = load_text_encoder(TextEncoderConfig())
    similar = [measure_quality(each, encoder, EmbeddingCache()).similarity[ALL] for each in (pack, new)]
    for first, second in script:
        before, after = (table[pack.names.index(first)][pack.names.index(second)] for table in similar)
        print(f"{first} / {second}: {before:.2f} -> {after:.2f}")
        assert after < before
    changed = {name for pair in script for name in pair}
    assert all(new[name] == pack[name] for name in pack.names if name not in changed)
    assert not [f for f in check_pack(new, encoder, cache=EmbeddingCache()) if f.severity == "error"]
