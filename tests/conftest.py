"""Fixtures shared by the tests: real data and models where they are present."""

import os
import tarfile
from pathlib import Path

import pytest

from sugar.datasets.formats.benchmarks.nw_ucla import CLASSES, NwUclaReader
from sugar.datasets.formats.source import read_source
from sugar.datasets.store.store import Store, write_store
from sugar.skeleton.layouts import KINECT20


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and models, from ``SUGAR_SHARED``; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("SUGAR_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data at {folder}: set SUGAR_SHARED")
    return folder


def _unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def nw_ucla_folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 1,484 JSON files of NW-UCLA."""
    return _unpack(shared / "data" / "nw-ucla.tar.xz", tmp_path_factory.mktemp("nw-ucla")) / "nw-ucla"


@pytest.fixture(scope="session")
def nw_ucla_store(nw_ucla_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """All of NW-UCLA, imported once."""
    return write_store(
        tmp_path_factory.mktemp("nw-ucla-store") / "store",
        read_source(NwUclaReader(), nw_ucla_folder),
        name="nw-ucla",
        classes=CLASSES,
        layout=KINECT20,
        source="NW-UCLA",
    )


@pytest.fixture(scope="session")
def tinystories(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real 0.66 M-parameter Llama in Hugging Face layout."""
    return _unpack(shared / "models" / "tinystories-656k.tar.xz", tmp_path_factory.mktemp("llm")) / "tinystories-656k"
