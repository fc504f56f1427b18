"""What changed between two packs."""

import json
from dataclasses import replace

import pytest
from word_encoder import WordEncoder

from sugar.knowledge.pack import KnowledgePack, load_pack
from sugar.knowledge.quality.pack_difference import compare_texts, difference


@pytest.fixture(scope="module")
def pack() -> KnowledgePack:
    return load_pack("nw_ucla")


def changed(pack: KnowledgePack) -> KnowledgePack:
    """Version 3: throw is gone, fly is new, and of carry one text is reworded, one added, two are gone."""
    carry = pack["carry"]
    visual = (carry.visual[0].replace("A person", "Somebody"), *carry.visual[2:], "Zzz.")
    carry = replace(carry, visual=visual, descriptions=carry.descriptions[:-1])
    fly = replace(pack["throw"], name="fly")
    classes = [carry if each.name == "carry" else fly if each.name == "throw" else each for each in pack.classes]
    return replace(pack, version="3", classes=tuple(classes))


def test_a_pack_does_not_differ_from_itself(pack: KnowledgePack):
    found = difference(pack, pack, WordEncoder())
    assert not found.any
    assert found.pairs == ()
    assert {each.cosine for each in found.classes} == {1.0}
    assert found.nearest is not None
    assert found.nearest[0] == found.nearest[1]
    assert found.counts["classes_same"] == 10
    assert len(list(found.lines())) == 4


def test_the_order_of_texts_and_classes_does_not_count(pack: KnowledgePack):
    turned = tuple(replace(each, visual=each.visual[::-1]) for each in reversed(pack.classes))
    assert not difference(pack, replace(pack, classes=turned)).any


def test_every_change_is_found(pack: KnowledgePack):
    found = difference(pack, changed(pack))
    assert (found.only_a, found.only_b) == (("throw",), ("fly",))
    assert found.counts == {
        "classes_only_a": 1,
        "classes_only_b": 1,
        "classes_same": 8,
        "classes_changed": 1,
        "texts_same": 9 * 16 - 3,
        "texts_added": 1,
        "texts_removed": 2,
        "texts_changed": 1,
    }
    carry = next(each for each in found.classes if each.any)
    visual = carry.kinds["visual"]
    assert carry.name == "carry"
    assert visual.added == ("Zzz.",)
    assert visual.removed == (pack["carry"].visual[1],)
    assert visual.changed[0].before == pack["carry"].visual[0]
    assert visual.changed[0].after.startswith("Somebody")
    assert 0.6 <= visual.changed[0].ratio < 1
    assert not carry.kinds["motion"].any
    assert carry.cosine is None
    assert found.nearest is None


def test_the_encoder_tells_what_moved(pack: KnowledgePack):
    found = difference(pack, changed(pack), WordEncoder(), pairs=3)
    moved = {each.name: each.cosine for each in found.classes}
    assert moved.pop("carry") < 1
    assert set(moved.values()) == {1.0}
    assert len(found.pairs) == 3
    shifts = [abs(pair.after - pair.before) for pair in found.pairs]
    assert shifts == sorted(shifts, reverse=True)
    assert all("carry" in (pair.first, pair.second) for pair in found.pairs)


def test_lines_and_json(pack: KnowledgePack):
    found = difference(pack, changed(pack), WordEncoder())
    lines = list(found.lines())
    assert lines[0] == "nw_ucla 2 -> nw_ucla 3"
    assert "- class throw" in lines
    assert "+ class fly" in lines
    assert "  visual: + Zzz." in lines
    assert f"  visual: - {pack['carry'].visual[1]}" in lines
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["counts"] == found.counts
    assert [each["cosine"] for each in data["classes"]] == [each.cosine for each in found.classes]


def test_lines_do_not_steer_the_terminal(pack: KnowledgePack):
    hostile = "\x1b[2J\u202eevil\x07"
    other = replace(pack, classes=(replace(pack.classes[0], name=hostile, visual=(hostile,)), *pack.classes[1:]))
    said = "\n".join(difference(pack, other).lines())
    assert "evil" in said
    assert not set(said) & {"\x1b", "\u202e", "\x07"}


def test_each_text_is_matched_once_with_the_most_alike():
    found = compare_texts(["abcdefgh", "abcdefxx", "same"], ["abcdefgz", "same", "same"])
    assert found.same == 1
    assert [(each.before, each.after) for each in found.changed] == [("abcdefgh", "abcdefgz")]
    assert found.removed == ("abcdefxx",)
    assert found.added == ("same",)
    found = compare_texts(["abcdefgh"], ["abcdefzz", "abcdefgz"])
    assert [each.after for each in found.changed] == ["abcdefgz"]
    assert found.added == ("abcdefzz",)


def test_the_opening_does_not_make_motion_texts_alike():
    before, after = ["An action of a long name: qqqq"], ["An action of a long name: zzzz"]
    assert compare_texts(before, after).changed
    assert not compare_texts(before, after, opening=True).changed


def test_packs_without_a_common_class(pack: KnowledgePack):
    found = difference(pack.subset(["throw"]), pack.subset(["carry"]), WordEncoder())
    assert found.any
    assert (found.classes, found.pairs, found.nearest) == ((), (), None)
    assert difference(pack.subset(["throw"]), pack.subset(["throw"]), WordEncoder()).nearest is None
