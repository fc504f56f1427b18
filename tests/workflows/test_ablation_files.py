"""Every shipped table: its rows give valid configs, vary what its name says, and share what they can."""

from pathlib import Path

import pytest

from sugar.knowledge.pack import load_pack
from sugar.workflows.ablate import config_hash, stage_one_config
from sugar.workflows.ablation_table import folder_name, read_table

FOLDER = Path(__file__).parents[2] / "lab" / "ablations"
UTD = sorted(FOLDER.glob("utd_mhad_*.yaml"))
NW = sorted(FOLDER.glob("nw_ucla_*.yaml"))
# Tables whose rows differ in stage 2 alone, and train stage 1 once.
SHARED = ("table4_projector", "figure4_tokens")


def test_both_data_sets_have_the_same_tables() -> None:
    assert len(UTD) >= 3
    assert sorted(FOLDER.glob("*")) == sorted(UTD + NW)
    assert [path.stem.removeprefix("utd_mhad") for path in UTD] == [path.stem.removeprefix("nw_ucla") for path in NW]


@pytest.mark.parametrize("path", UTD, ids=lambda path: path.stem)
def test_a_shipped_table_is_whole(path: Path) -> None:
    table = read_table(path)
    assert table.title.endswith("UTD-MHAD")
    assert len(table.seeds) >= 3
    assert table.differences()
    configs = {row: table.config(row, 0) for row in table.rows}
    assert len({config_hash(config) for config in configs.values()}) == len(configs)
    for config in configs.values():
        load_pack(config.knowledge.pack)
        assert "alignment" in config.stages
        assert ("llm" in table.scores) == ("instruction" in config.stages)
        assert ("fc" in table.scores) == ("baseline" in config.stages)
    stages = {config_hash(stage_one_config(config)) for config in configs.values()}
    assert (len(stages) == 1) == path.stem.endswith(SHARED)
    assert len({folder_name(row, 0) for row in table.rows}) == len(table.rows)
    short = table.config(table.reference, 0, short=True)
    assert short.alignment.loop.epochs < configs[table.reference].alignment.loop.epochs


@pytest.mark.parametrize("path", NW, ids=lambda path: path.stem)
def test_the_other_data_set_has_the_same_rows(path: Path) -> None:
    table, utd = read_table(path), read_table(FOLDER / path.name.replace("nw_ucla", "utd_mhad"))
    assert table.title == utd.title.replace("UTD-MHAD", "NW-UCLA")
    assert list(table.rows) == list(utd.rows)
    assert (table.scores, table.seeds, table.common) == (utd.scores, utd.seeds, utd.common)
    assert (table.short or {}).keys() == (utd.short or {}).keys()
    config = table.config(table.reference, 0)
    assert (config.data.store, config.knowledge.pack) == ("stores/nw-ucla", "nw_ucla")


@pytest.mark.parametrize("path", UTD, ids=lambda path: path.stem)
def test_the_papers_tables_have_nothing_that_the_paper_has_not(path: Path) -> None:
    table = read_table(path)
    config = table.config(table.reference, 0)
    assert config.model.motion.weight == 0
    assert not config.instruction.fact_captions
    assert not any("motion.weight" in setting or "fact_captions" in setting for setting in table.differences())


def test_no_knowledge_is_names_alone() -> None:
    table = read_table(FOLDER / "utd_mhad_table3_knowledge.yaml")
    assert table.config("no knowledge", 0).knowledge.kinds == ()
    assert table.reference == "both"
    assert table.differences() == {
        "knowledge.kinds": {
            "no knowledge": [],
            "visual": ["visual"],
            "motion": ["motion"],
            "both": ["motion", "visual"],
        }
    }
