import pytest

from sugar.datasets.class_names import class_names
from sugar.datasets.protocols.class_overlap import overlapping


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("jogging", "jog"),
        ("Jog", "jogging"),
        ("sit down", "sit to stand"),
        ("hand clap", "clap"),
        ("clap", "hand clap"),
        ("walk around", "walk"),
        ("waving", "wave"),
        ("draw circle clockwise", "draw circle"),
        ("put on", "put on"),
        ("touches", "touch"),
    ],
)
def test_the_same_action_in_other_words_is_known(name, known) -> None:
    assert overlapping([name], ["golf", known]) == {name: known}


@pytest.mark.parametrize(
    ("name", "known"),
    [("side kick", "forward kick"), ("walk", "talk"), ("pick up with one hand", "pick up and throw"), ("bend", "lend")],
)
def test_other_actions_are_new(name, known) -> None:
    assert overlapping([name], [known]) == {}


def test_every_name_of_a_list_is_known_to_the_list_itself() -> None:
    for data_set in ("ntu120", "utd_mhad", "msr_action3d", "nw_ucla", "smarthome"):
        names = class_names(data_set)
        assert overlapping(names, names).keys() == set(names)


def test_what_msr_action3d_has_that_utd_mhad_lacks() -> None:
    names, known = class_names("msr_action3d"), class_names("utd_mhad")
    new = [name for name in names if name not in overlapping(names, known)]
    assert new == ["hammer", "forward punch", "draw tick", "bend", "forward kick", "side kick", "golf swing"]
