"""Clips that do the opposite of what their class says are found."""

from dataclasses import replace
from pathlib import Path

import pytest

from sugar.cli.main import main
from sugar.datasets.diagnostics.posture_labels import RISES, SINKS, UNKNOWN, way_of_class
from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import generate
from sugar.knowledge.pack import load_pack
from sugar.skeleton.layouts import NTU25

CLASSES = ("sit down", "stand up", "clap")
OTHER = {"sit down": "stand up", "stand up": "sit down", "clap": "clap"}


def write_swapped(folder: Path, swapped: set[str]) -> None:
    """A store in which the labels of some clips are those of the opposite action."""
    clips = (
        replace(clip, label=OTHER[clip.label or ""] if clip.clip_id in swapped else clip.label)
        for clip in generate(12, 0, CLASSES)
    )
    write_store(folder / "store", clips, name="s", classes=CLASSES, layout=NTU25, source="test")


def swappable() -> list[str]:
    """Training clips: people 1 to 8."""
    return sorted(c.clip_id for c in generate(12, 0, CLASSES[:2]) if c.subject is not None and c.subject <= 8)


def test_validate_names_them_where_a_pack_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swapped = swappable()[:2]
    write_swapped(tmp_path, set(swapped))
    assert main(["data", "validate", str(tmp_path / "store"), "--knowledge", "synthetic"]) == 0
    named = [line for line in capsys.readouterr().out.splitlines() if "in every motion sentence of" in line]
    assert [line.split("'")[1] for line in named] == swapped
    assert all("its body sinks" in line and "'stand up' it rises" in line for line in named)
    main(["data", "validate", str(tmp_path / "store")])
    assert "motion sentence" not in capsys.readouterr().out


@pytest.mark.parametrize("pack", ["nowhere", "missing.yaml"])
def test_validate_refuses_a_pack_that_is_none(pack: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_swapped(tmp_path, set())
    assert main(["data", "validate", str(tmp_path / "store"), "--knowledge", pack]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert len(said.err.strip().splitlines()) == 1


def test_validate_compares_labels_of_stores_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clip.json").write_text("{}")
    assert main(["data", "validate", str(tmp_path / "clip.json"), "--knowledge", "synthetic"]) == 2
    assert "import the clips first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pack", "rising", "sinking"),
    [
        ("nw_ucla", {"stand up"}, {"sit down"}),
        ("synthetic", {"stand up"}, {"sit down", "kneel down"}),
    ],
)
def test_only_classes_that_rise_or_sink_in_every_sentence_can_be_contradicted(pack, rising, sinking) -> None:
    ways = {entry.name: way_of_class(entry.motion_sentences) for entry in load_pack(pack).classes}
    assert {name for name, way in ways.items() if way == RISES} == rising
    assert {name for name, way in ways.items() if way == SINKS} == sinking
    assert UNKNOWN in ways.values()
