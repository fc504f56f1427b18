"""Seeds and the state of the global random generators."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

_T = TypeVar("_T")


def below(count: int, generator: torch.Generator) -> int:
    """A number from 0 to ``count`` - 1."""
    return int(torch.randint(count, (1,), generator=generator))


def pick(options: Sequence[_T], generator: torch.Generator) -> _T:
    """One of the options."""
    return options[below(len(options), generator)]


_STREAMS = {"alignment": "represent", "instruction": "instruct"}
"""The stages' random streams keep the names that they had when the published figures were made."""


def random_stream(stage: str) -> str:
    """Name of the random stream of a stage, a part of its seeds."""
    return _STREAMS.get(stage, stage)


def stable_seed(*parts: int | str) -> int:
    """Seed from numbers and names, the same on every machine and Python: 63 bits."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of torch (CPU and, where there is one, GPU), NumPy and Python."""
    # Not torch.manual_seed: for devices that are not there it formats a stack trace, 0.3 ms at every step.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def random_states() -> dict[str, Tensor]:
    """State of every global random generator: torch (CPU and this process's GPU), NumPy, Python."""
    python_version, python_words, python_gauss = random.getstate()
    _, words, position, has_gauss, gauss = np.random.get_state()
    states = {
        "torch": torch.get_rng_state(),
        "numpy": torch.tensor([*np.asarray(words).tolist(), position, has_gauss], dtype=torch.int64),
        "numpy_gauss": torch.tensor(gauss, dtype=torch.float64),
        "python": torch.tensor([python_version, *python_words], dtype=torch.int64),
        "python_gauss": torch.tensor([] if python_gauss is None else [python_gauss], dtype=torch.float64),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_states(states: Mapping[str, Tensor]) -> None:
    """Inverse of ``random_states``."""
    torch.set_rng_state(states["torch"])
    *words, position, has_gauss = states["numpy"].tolist()
    np.random.set_state(
        ("MT19937", np.array(words, dtype=np.uint32), position, has_gauss, states["numpy_gauss"].item())
    )
    version, *python_words = states["python"].tolist()
    gauss = states["python_gauss"].tolist()
    random.setstate((version, tuple(python_words), gauss[0] if gauss else None))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
