"""Every shipped config is parsed, builds its model's trainable parts, and repeats no default."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sugar.config import as_plain, differences, flatten, parse_config, read_config, read_yaml
from sugar.datasets.protocols.protocols import protocol_names
from sugar.errors import InputError
from sugar.knowledge.pack import load_pack
from sugar.models.encoders.build import build_encoder
from sugar.models.run_folder import read_model_config
from sugar.skeleton.layouts import KINECT20
from sugar.training.config import RunConfig, check_stages

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_is_whole(path: Path) -> None:
    config, _ = parse_config(RunConfig, read_config(path), where=str(path))
    load_pack(config.knowledge.pack)
    if not config.data.protocol.endswith(".yaml"):
        assert config.data.protocol in protocol_names()
    encoder = build_encoder(config.model.encoder, KINECT20)
    tokens, mask = encoder(torch.randn(2, config.model.frames, 1, 20, 3), torch.ones(2, 1, dtype=torch.bool))
    projector = config.model.projector.build(in_channels=encoder.out_channels, out_channels=32)
    assert projector(tokens, mask).shape == (2, config.model.projector.num_queries, 32)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_states_only_what_differs(path: Path) -> None:
    values = read_yaml(path)
    base = values.pop("base", None)
    under = RunConfig()
    if base is not None:
        under, _ = parse_config(RunConfig, read_config(path.parent / base), where=base)
    defaults = flatten(as_plain(under))
    assert [key for key, value in flatten(values).items() if value == defaults[key]] == []


def test_a_base_is_changed_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data: {store: s, protocol: p}\nmodel: {frames: 9, views: [{start: 0.1}]}\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\ndata: {protocol: q}\nmodel: {views: [{stop: 0.5}]}\n")
    assert read_config(tmp_path / "b.yaml") == {
        "data": {"store": "s", "protocol": "q"},
        "model": {"frames": 9, "views": [{"stop": 0.5}]},
    }
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    with pytest.raises(InputError, match="lead back to"):
        read_config(tmp_path / "b.yaml")
    (tmp_path / "a.yaml").write_text("base: [b]\n")
    with pytest.raises(InputError, match="base must be the name of a file"):
        read_config(tmp_path / "a.yaml")


def test_a_config_survives_writing_and_reading() -> None:
    config, _ = parse_config(RunConfig, read_config(CONFIGS[0]), where="first")
    again, _ = parse_config(RunConfig, as_plain(config), where="again")
    assert again == config


def test_a_misspelt_key_is_named() -> None:
    with pytest.raises(InputError, match=r"here: .*'frame'"):
        parse_config(RunConfig, {"model": {"frame": 3}}, where="here")


def parsed(dotted: str, value: Any, *arguments: str) -> RunConfig:
    """The config with one setting changed."""
    values: Any = value
    for key in reversed(dotted.split(".")):
        values = {key: values}
    return parse_config(RunConfig, values, where="FILE", arguments=arguments)[0]


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("model.frames", -4),
        ("model.views", []),
        ("model.unseen_weights.motion", -1),
        ("model.encoder.branches", [["posture"], []]),
        ("model.encoder.patchgcn.patch_frames", 0),
        ("model.encoder.patchgcn.channels", -1),
        ("model.encoder.patchgcn.num_heads", 3),
        ("model.encoder.patchgcn.dilations", []),
        ("model.encoder.patchgcn.dilations", [1, 0]),
        ("model.encoder.patchgcn.channel_dropout", 2),
        ("model.encoder.patchgcn.streams", []),
        ("model.encoder.ctrgcn.channels", [64]),
        ("model.encoder.ctrgcn.kernel_size", 4),
        ("model.encoder.ctrgcn.dilations", [1, 2, 3, 4]),
        ("model.alignment.label_smoothing", 2),
        ("model.alignment.initial_temperature", 0),
        ("model.motion.weight", -1),
        ("model.motion.weight", float("nan")),
        ("model.motion.fact_captions", 1.5),
        ("model.motion.phrasings", 0),
        ("model.projector.channels", 0),
        ("model.projector.num_heads", 3),
        ("model.projector.num_queries", 0),
        ("model.projector.segment_length", 0),
        ("model.projector.dropout", 2),
        ("model.language.lora_rank", 0),
        ("model.language.lora_alpha", 0),
        ("model.language.lora_dropout", 2),
        ("model.language.label_loss_weight", 5),
        ("alignment.optimization.betas", [1.5, 2]),
        ("baseline.label_smoothing", -0.1),
        ("instruction.lists.shortest", 0),
        ("instruction.held_out_descriptions", -1),
        ("instruction.text_only.share", -1),
        ("stages", ["instruction", "alignment"]),
        ("stages", ["alignment", "alignment"]),
        ("seed", -1),
        ("seed", 2**63),
    ],
)
def test_a_setting_out_of_its_range_is_named(dotted: str, value: Any) -> None:
    named = ".".join(dotted.split(".")[-2:])
    with pytest.raises(InputError, match=f"^FILE: {named} (is|has) "):
        parsed(dotted, value)


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("model.projector", {"kind": "linear", "num_heads": 3}),
        ("model.language", {"lora": False, "lora_rank": 0}),
        ("model.encoder.branches", []),
        ("model.frames", 0),
        ("instruction.text_only.share", 2),
        ("knowledge.kinds", []),
        ("alignment.loop.threads", None),
        ("seed", 2**63 - 1),
    ],
)
def test_settings_at_the_edge_are_taken(dotted: str, value: Any) -> None:
    parsed(dotted, value)


@pytest.mark.parametrize(
    ("stages", "changes", "lacks"),
    [
        (["alignment"], {}, ""),
        (["baseline"], {}, ""),
        (["alignment", "instruction"], {}, ""),
        (["instruction"], {"start_from": "run"}, ""),
        (["instruction"], {"pretrained": "run"}, ""),
        ([], {"start_from": "run"}, ""),
        ([], {"pretrained": "run"}, "stages is empty"),
        (["instruction"], {}, "instruction without alignment"),
        (["baseline", "instruction"], {}, "instruction without alignment"),
    ],
)
def test_instruct_needs_a_trained_encoder(stages: list[str], changes: dict[str, str], lacks: str) -> None:
    config, _ = parse_config(RunConfig, {"stages": stages, **changes}, where="FILE")
    if not lacks:
        check_stages(config)
        return
    with pytest.raises(InputError, match=lacks):
        check_stages(config)


def test_a_section_with_nothing_below_it_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("alignment: {loop: {epochs: 7}}\nseed: 3\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\nalignment:\n  # loop: {epochs: 1}\nmodel: {encoder: null}\n")
    config, _ = parse_config(RunConfig, read_config(tmp_path / "b.yaml"), where="b")
    plain, _ = parse_config(RunConfig, read_config(tmp_path / "a.yaml"), where="a")
    assert config == plain
    assert config.alignment.loop.epochs == 7


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("alignment", 3),
        ("alignment", [1]),
        ("instruction", True),
        ("knowledge", "nw_ucla"),
        ("alignment.loop", 3),
        ("alignment.augment", False),
        ("model.motion", False),
    ],
)
def test_a_section_that_is_no_mapping_is_named(dotted: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^FILE: {dotted} must be a mapping of settings, not "):
        parsed(dotted, value)


def test_a_setting_without_a_value_is_named() -> None:
    with pytest.raises(InputError, match=r"^FILE: model\.views is empty"):
        parsed("model.views", None)
    with pytest.raises(InputError, match=r"^command line: null stands where"):
        parsed("seed", 1, "--alignment", '{"loop": null}')


def test_a_wrong_flag_is_told_apart_from_a_wrong_file() -> None:
    with pytest.raises(
        InputError, match=r"^command line: projector\.num_heads is 3: give a divisor of projector\.channels"
    ):
        parsed("model.projector.channels", 64, "--model.projector.num_heads", "3")


def test_the_model_of_a_run_must_be_a_section(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: 3\n")
    with pytest.raises(InputError, match=r"config\.yaml: model must be a mapping"):
        read_model_config(tmp_path)
    (tmp_path / "config.yaml").write_text("model: {views: []}\n")
    with pytest.raises(InputError, match=r"config\.yaml: model\.views is empty"):
        read_model_config(tmp_path)


@pytest.mark.parametrize("content", ["a: &a [*a]", "a: &a {b: *a}", "a: 2001-13-45", "[" * 5000, "a: [", "a: \x00"])
def test_a_file_that_is_no_yaml_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(InputError, match=r"^.*a\.yaml: not valid YAML: .+$"):
        read_yaml(tmp_path / "a.yaml")


def test_differences_name_values_by_dotted_keys() -> None:
    before = {"a": {"b": 1, "c": {"d": 2}}, "e": None}
    after = {"a": {"b": 1, "c": {"d": 3}, "f": 4}}
    assert flatten(before) == {"a.b": 1, "a.c.d": 2, "e": None}
    assert differences(before, after) == {"a.c.d": (2, 3), "a.f": (None, 4)}
