"""Models are loaded without running code of theirs, and their hashes follow names and contents."""

import json
from pathlib import Path

import pytest

from sugar.errors import InputError
from sugar.hub import Pretrained, files_hash, hub_commit, loading, sha256


def test_code_of_a_model_is_not_run(tmp_path: Path):
    from transformers import AutoConfig

    mark = tmp_path / "ran"
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "configuration_own.OwnConfig"}})
    )
    (tmp_path / "configuration_own.py").write_text(
        f"from pathlib import Path\nfrom transformers import PretrainedConfig\nPath({str(mark)!r}).touch()\n"
        "class OwnConfig(PretrainedConfig):\n    model_type = 'own'\n"
    )
    with pytest.raises(InputError, match=r"^the model cannot be loaded \(.+\)$"), loading("the model cannot be loaded"):
        Pretrained(str(tmp_path), local=True).load(AutoConfig)
    assert not mark.exists()


def test_a_file_that_is_missing_reads_as_empty(tmp_path: Path):
    (tmp_path / "there.json").write_text('{"a": 1}')
    model = Pretrained(str(tmp_path), local=True)
    assert (model.read_json("there.json"), model.read_json("missing.json")) == ({"a": 1}, {})


def test_a_full_commit_is_not_looked_up():
    assert hub_commit("no/such-model", "a" * 40, "model") == "a" * 40


def test_a_hash_follows_names_and_contents(tmp_path: Path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text("1")
    second.write_text("1")
    assert sha256(first) == sha256(second)
    assert len({files_hash([first]), files_hash([second]), files_hash([first, second])}) == 3
    assert files_hash([first, tmp_path / "missing.json"]) == files_hash([first])
