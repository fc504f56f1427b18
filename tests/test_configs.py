"""Every shipped config is parsed, builds its model's trainable parts, and repeats no default."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sugar.config import as_plain, parse_config, read_config, read_yaml
from sugar.datasets.protocols import protocol_names
from sugar.errors import InputError
from sugar.knowledge.pack import load_pack
from sugar.models.encoders.build import build_encoder
from sugar.skeleton.layouts import KINECT20
from sugar.training.config import RunConfig

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_is_whole(path: Path) -> None:
    config, _ = parse_config(RunConfig, read_config(path), where=str(path))
    load_pack(config.knowledge.pack)
    if not config.data.protocol.endswith(".yaml"):
        assert config.data.protocol in protocol_names()
    encoder = build_encoder(config.model.encoder, KINECT20)
    tokens, mask = encoder(torch.randn(2, config.model.frames, 1, 20, 3), torch.ones(2, 1, dtype=torch.bool))
    bridge = config.model.bridge.build(in_channels=encoder.out_channels, out_channels=32)
    assert bridge(tokens, mask).shape == (2, config.model.bridge.num_queries, 32)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_states_only_what_differs(path: Path) -> None:
    def repeated(values: dict[str, Any], defaults: dict[str, Any], prefix: str = "") -> list[str]:
        found = []
        for key, value in values.items():
            if isinstance(value, dict):
                found += repeated(value, defaults[key], f"{prefix}{key}.")
            elif value == defaults[key]:
                found.append(prefix + key)
        return found

    values = read_yaml(path)
    base = values.pop("base", None)
    under = RunConfig()
    if base is not None:
        under, _ = parse_config(RunConfig, read_config(path.parent / base), where=base)
    assert repeated(values, as_plain(under)) == []


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
