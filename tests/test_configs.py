"""Every shipped config is parsed, builds its model's trainable parts, and repeats no default."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sugar.config import as_plain, parse_config, read_yaml
from sugar.errors import InputError
from sugar.knowledge.pack import load_pack
from sugar.models.encoders.build import build_encoder
from sugar.skeleton.layouts import KINECT20
from sugar.training.config import RunConfig

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_is_whole(path: Path) -> None:
    config, _ = parse_config(RunConfig, read_yaml(path), where=str(path))
    load_pack(config.knowledge.pack)
    encoder = build_encoder(config.model.encoder, KINECT20)
    tokens, mask = encoder(torch.randn(2, config.model.frames, 1, 20, 3), torch.ones(2, 1, dtype=torch.bool))
    bridge = config.model.bridge.build(in_channels=encoder.out_channels, out_channels=32)
    assert bridge(tokens, mask).shape == (2, config.model.bridge.num_queries, 32)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_repeats_no_default(path: Path) -> None:
    def repeated(values: dict[str, Any], defaults: dict[str, Any], prefix: str = "") -> list[str]:
        found = []
        for key, value in values.items():
            if isinstance(value, dict):
                found += repeated(value, defaults[key], f"{prefix}{key}.")
            elif value == defaults[key]:
                found.append(prefix + key)
        return found

    assert repeated(read_yaml(path), as_plain(RunConfig())) == []


def test_a_config_survives_writing_and_reading() -> None:
    config, _ = parse_config(RunConfig, read_yaml(CONFIGS[0]), where="first")
    again, _ = parse_config(RunConfig, as_plain(config), where="again")
    assert again == config


def test_a_misspelt_key_is_named() -> None:
    with pytest.raises(InputError, match=r"here: .*'frame'"):
        parse_config(RunConfig, {"model": {"frame": 3}}, where="here")
