"""Knowledge packs: the shipped ones, the format, and one clear line for each mistake."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from sugar.datasets.class_names import class_names
from sugar.datasets.synthetic import SYNTHETIC_CLASSES
from sugar.errors import InputError
from sugar.knowledge.pack import KnowledgePack, load_pack, shipped_packs
from sugar.knowledge.quality.checks import check_pack

VALID: dict[str, Any] = {
    "format": 1,
    "name": "tiny",
    "version": "1",
    "language": "en",
    "provenance": {"author": "me", "method": "by hand", "date": "2026-11", "license": "CC0-1.0"},
    "classes": [
        {"name": "hop", "motion": ["m1"], "visual": ["v1", "v2"], "descriptions": ["d1"]},
        {"name": "nod", "motion": ["m2"], "visual": [], "descriptions": ["d2"], "motion_sentences": ["s"]},
    ],
}


def write(folder: Path, data: object) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def test_shipped_packs_cover_their_data_sets():
    assert load_pack("synthetic").names == SYNTHETIC_CLASSES
    for name in set(shipped_packs()) - {"synthetic"}:
        assert load_pack(name).names == class_names(name)


def test_a_class_may_be_taken_from_a_shipped_pack(tmp_path):
    data = copy.deepcopy(VALID)
    data["classes"].append({"name": "throw", "same_as": "nw_ucla"})
    assert load_pack(write(tmp_path, data))["throw"] == load_pack("nw_ucla")["throw"]
    for entry, message in (
        ({"name": "throw", "same_as": "nowhere"}, "same_as must name a shipped pack"),
        ({"name": "fly", "same_as": "nw_ucla"}, "'nw_ucla' has no texts of its own for it"),
        ({"name": "throw", "same_as": "nw_ucla", "motion": []}, "unknown key 'motion'"),
    ):
        data["classes"][-1] = entry
        with pytest.raises(InputError, match=message):
            load_pack(write(tmp_path, data))


def test_joined_packs_have_all_classes_and_all_texts_of_each(tmp_path):
    data = copy.deepcopy(VALID)
    data["classes"][0]["name"] = "throw"
    other = write(tmp_path, data)
    joined = load_pack(f"nw_ucla+{other}")
    assert joined.names == (*load_pack("nw_ucla").names, "nod")
    assert joined["throw"].visual == (*load_pack("nw_ucla")["throw"].visual, "v1", "v2")
    assert joined["carry"] == load_pack("nw_ucla")["carry"]


def test_a_pack_is_read_in_order_and_looked_up_by_name(tmp_path: Path):
    pack = load_pack(write(tmp_path, VALID))
    assert isinstance(pack, KnowledgePack)
    assert pack.names == ("hop", "nod")
    assert pack["hop"].visual == ("v1", "v2")
    assert pack["hop"].motion_sentences == ()
    assert pack["nod"].motion_sentences == ("s",)
    assert pack.provenance.license == "CC0-1.0"
    assert "hop" in pack
    assert "skip" not in pack


def test_subset_keeps_the_order_asked_for(tmp_path: Path):
    pack = load_pack(write(tmp_path, VALID))
    assert pack.subset(["nod", "hop"]).names == ("nod", "hop")
    with pytest.raises(InputError, match="no class 'skip'"):
        pack.subset(["skip"])
    with pytest.raises(InputError, match="twice"):
        pack.subset(["hop", "hop"])


def test_a_folded_text_becomes_one_line(tmp_path: Path):
    path = write(tmp_path, VALID)
    path.write_text(path.read_text().replace("- m1", "- >-\n      one\n      two"))
    assert load_pack(path)["hop"].motion == ("one two",)


def change(*keys: str | int, to: object = None, delete: bool = False) -> dict[str, Any]:
    data = copy.deepcopy(VALID)
    place: Any = data
    for key in keys[:-1]:
        place = place[key]
    if delete:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    return data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([1], ["must be a mapping"]),
        (change("format", to=2), ["format 2"]),
        (change("format", delete=True), ["'format' is missing"]),
        (change("language", delete=True), ["'language' is missing"]),
        (change("license", to="x"), ["unknown key 'license'"]),
        (change("provenance", to="me"), ["provenance must be a mapping"]),
        (change("provenance", "date", to=2026), ["provenance.date", "2026", "quotes"]),
        (change("classes", to=[]), ["at least one class"]),
        (change("classes", 0, to="hop"), ["class number 1", "mapping"]),
        (change("classes", 0, "name", delete=True), ["class number 1", "'name' is missing"]),
        (change("classes", 0, "name", to=True), ["class number 1", "yes/no", "quotes"]),
        (change("classes", 0, "visual", delete=True), ["class 'hop'", "'visual' is missing"]),
        (change("classes", 0, "vision", to=[]), ["class 'hop'", "unknown key 'vision'"]),
        (change("classes", 0, "motion", to="m1"), ["class 'hop'", "motion must be a list"]),
        (change("classes", 0, "visual", to=["v1", " "]), ["class 'hop'", "visual[2] is empty"]),
        (change("classes", 1, "descriptions", to=[None]), ["class 'nod'", "descriptions[1]", "nothing"]),
        (change("classes", 1, "name", to="Hop"), ["class 'hop' stands twice"]),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, data: object, words: list[str]):
    with pytest.raises(InputError) as caught:
        load_pack(write(tmp_path, data))
    message = str(caught.value)
    assert "\n" not in message
    for word in ["tiny.yaml", *words]:
        assert word in message


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"name: [unclosed", "not valid YAML"),
        (b"name: x\nname: y", "'name' stands twice"),
        (b"name: !!python/object/apply:os.getcwd []", "not valid YAML"),
        (b"name: a\x00b", "not valid YAML"),
        (b"\xff\xfe\xfa", "not UTF-8"),
        (b"", "must be a mapping"),
        (b"[" * 5000, "tiny.yaml"),
    ],
)
def test_a_file_that_is_no_pack_gets_one_line(tmp_path: Path, content: bytes, word: str):
    path = tmp_path / "tiny.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_pack(path)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_pack_is_answered_with_the_known_ones(tmp_path: Path):
    with pytest.raises(InputError, match=r"nw_ucla, .*synthetic"):
        load_pack("nw-ucla")
    with pytest.raises(InputError, match="no such knowledge pack file"):
        load_pack(tmp_path / "absent.yaml")


def test_the_example_in_the_documentation_is_a_sound_pack(tmp_path: Path):
    page = (Path(__file__).parents[2] / "docs" / "knowledge.md").read_text(encoding="utf-8")
    path = tmp_path / "example.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    assert check_pack(load_pack(path)) == []
