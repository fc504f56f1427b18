"""A written pack reads back the same, looks like the shipped ones, and a bad one is not written."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.errors import InputError
from sugar.knowledge.pack import ClassKnowledge, KnowledgePack, Provenance, load_pack
from sugar.knowledge.pack_file import pack_text, write_pack

PACKS = Path(__file__).parents[2] / "src" / "sugar" / "knowledge" / "packs"
ODD = [
    "- a",
    "a: b",
    "# a",
    "yes",
    "1",
    "~",
    "=",
    "'a",
    '"a" b',
    "&a",
    "*a",
    "{a}",
    "[a",
    "%a",
    "a #b",
    "? a",
    "2026-11-01",
]


def one_line(text: str) -> str:
    return " ".join(text.split())


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
    st.sampled_from(ODD),
    st.lists(st.sampled_from([*ODD, "word", "a-b", "ß", "手"]), min_size=1, max_size=60).map(" ".join),
)
TEXT = TEXTS.map(one_line).filter(bool)
MANY = st.lists(TEXT, max_size=3).map(tuple)


@st.composite
def packs(draw: st.DrawFn) -> KnowledgePack:
    names = draw(st.lists(TEXT, min_size=1, max_size=3, unique_by=str.casefold))
    classes = tuple(ClassKnowledge(name, draw(MANY), draw(MANY), draw(MANY), draw(MANY)) for name in names)
    provenance = Provenance(draw(TEXT), draw(TEXT), draw(TEXT), draw(TEXT))
    return KnowledgePack(draw(TEXT), draw(TEXT), draw(TEXT), provenance, classes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packs")


@settings(max_examples=60, deadline=None)
@given(pack=packs())
def test_any_texts_are_read_back_as_they_were(pack: KnowledgePack, folder: Path):
    write_pack(pack, folder / "own.yaml")
    assert load_pack(folder / "own.yaml") == pack
    assert [file.name for file in folder.iterdir()] == ["own.yaml"]


@pytest.mark.parametrize("text", ODD)
def test_the_slower_reader_of_yaml_agrees(text: str):
    entry = ClassKnowledge(text, (text, f"{text} " * 40), (), (text,))
    pack = KnowledgePack(text, text, text, Provenance(text, text, text, text), (entry,))
    data = yaml.load(pack_text(pack), yaml.SafeLoader)
    assert data["classes"][0] == {
        "name": text,
        "motion": [text, one_line(f"{text} " * 40)],
        "visual": [],
        "descriptions": [text],
    }
    assert set(data["provenance"].values()) == {text}


def test_a_written_pack_looks_like_the_shipped_one(tmp_path: Path):
    write_pack(load_pack("smarthome"), tmp_path / "smarthome.yaml")
    shipped = [line for line in (PACKS / "smarthome.yaml").read_text().splitlines() if not line.startswith("#")]
    written = (tmp_path / "smarthome.yaml").read_text().splitlines()
    assert load_pack(tmp_path / "smarthome.yaml") == load_pack("smarthome")
    assert len(set(written) - set(shipped)) < 0.02 * len(written)
    assert max(map(len, written)) <= 108


def test_what_is_no_pack_is_not_written(tmp_path: Path):
    path = tmp_path / "own.yaml"
    good = load_pack("nw_ucla")
    write_pack(good, path)
    bad = replace(good, classes=(replace(good.classes[0], visual=("", "v")),))
    with pytest.raises(InputError, match=rf"^{path}: class 'pick up with one hand': visual\[1\] is empty"):
        write_pack(bad, path)
    with pytest.raises(InputError, match="stands twice"):
        write_pack(replace(good, classes=good.classes[:1] * 2), path)
    assert load_pack(path) == good
    assert [file.name for file in tmp_path.iterdir()] == ["own.yaml"]
