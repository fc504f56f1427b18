"""What pictures look like, as vectors: CLIP's vision features (the paper), or plain statistics of the pixels.

Nothing is loaded before a picture is encoded. The network is touched only when the user names a Hugging Face id.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError
from sugar.hub import Pretrained, files_hash, hub_commit, loading

if TYPE_CHECKING:
    from PIL import Image

Features = npt.NDArray[np.float32]

PIXELS = "pixels"


@dataclass(frozen=True)
class FrameFeaturesConfig:
    """By what frames of a video are compared."""

    name: str = PIXELS
    """`pixels` (colors and edges on a grid; needs no weights), or a folder or Hugging Face id of a CLIP model (the
    paper), such as `openai/clip-vit-large-patch14`."""
    revision: str | None = None
    """Branch, tag or commit of a Hugging Face id; a full commit is best: it never has to be looked up."""
    batch_size: int = 32
    """Frames encoded at once by CLIP."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What CLIP computes in; bfloat16 is faster on a GPU."""


class FrameFeatures(Protocol):
    """What the choice of frames needs."""

    @property
    def name(self) -> str:
        """Name, folder or id, for messages."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal ones give equal features."""
        ...

    @property
    def threshold(self) -> float:
        """Cosine similarity from which two frames count as repeats, unless the user says otherwise."""
        ...

    def encode(self, images: Sequence["Image.Image"]) -> Features:
        """RGB pictures of any sizes to float32 ``[N, d]`` of unit norm; may be called from several threads."""
        ...


def load_frame_features(config: FrameFeaturesConfig, *, device: str = "cpu") -> FrameFeatures:
    """The features that ``config`` names; weights are read when the first frame is encoded.

    Raises:
        InputError: a revision for ``pixels`` or a folder, a folder that is no model, or ``batch_size`` < 1.
    """
    if config.batch_size < 1:
        raise InputError(f"frame features: batch_size must be at least 1, not {config.batch_size}")
    folder = Path(config.name).expanduser()
    is_folder = config.name != PIXELS and folder.is_dir()
    if config.revision is not None and (config.name == PIXELS or is_folder):
        raise InputError(f"frame features {config.name}: revision belongs to a Hugging Face id; leave it out here")
    if config.name == PIXELS:
        return PixelFeatures()
    if is_folder and not ((folder / "config.json").is_file() and any(folder.glob("*.safetensors"))):
        raise InputError(f"frame features {folder}: needs config.json and *.safetensors; give a model folder")
    if not is_folder and (len(folder.parts) > 2 or config.name.startswith((".", "~", "/"))):
        raise InputError(f"frame features {config.name}: no such folder; give a model folder or a Hugging Face id")
    return ClipFeatures(config, device, folder if is_folder else None)


class PixelFeatures:
    """Colors and edges on a grid: 8 x 8 means of lightness and of color, 16 x 16 histograms of edge directions.

    Lightness and edges are taken relative to the picture's own mean and spread, color relative to its lightness, so
    that exposure and contrast do not matter; means over cells keep noise and compression out. The histograms
    are those of Dalal and Triggs (HOG, CVPR 2005), with square roots and one norm for the whole picture.
    """

    name = PIXELS
    fingerprint = "pixels-1"  # to be counted up with every change of what is computed
    threshold = 0.975

    SIDE, COARSE, FINE, DIRECTIONS = 64, 8, 16, 8
    WEAK = 0.3
    """Edges up to this, in the picture's spreads of lightness from pixel to pixel, are noise."""
    LEAST_SPREAD, LEAST_LIGHT = 0.02, 0.05
    """Of 1: in darker or flatter pictures noise would be blown up."""

    def encode(self, images: Sequence["Image.Image"]) -> Features:
        return np.stack([self._describe(image) for image in images]).astype(np.float32)

    def _describe(self, image: "Image.Image") -> npt.NDArray[np.float64]:
        from PIL import Image

        small = image.convert("RGB").resize((self.SIDE, self.SIDE), Image.Resampling.BOX)
        colors = np.asarray(small, float) / 255
        light = colors.mean(axis=-1)
        relative = (light - light.mean()) / max(light.std(), self.LEAST_SPREAD)
        tint = (colors - light[..., None]) / max(light.mean(), self.LEAST_LIGHT)
        groups = (
            self._cells(relative[..., None], self.COARSE),
            self._cells(tint[..., [0, 2]], self.COARSE),  # the third follows from two
            np.sqrt(self._cells(self._edges(relative), self.FINE)),
        )
        # A group of almost nothing (a gray picture has no color) stays that.
        features = np.concatenate([group / max(float(np.linalg.norm(group)), 1.0) for group in groups])
        return features / max(float(np.linalg.norm(features)), 1e-9)

    def _cells(self, values: npt.NDArray[np.float64], grid: int) -> npt.NDArray[np.float64]:
        """Means of ``[SIDE, SIDE, C]`` over a grid, flat."""
        cell = self.SIDE // grid
        return values.reshape(grid, cell, grid, cell, -1).mean(axis=(1, 3)).ravel()

    def _edges(self, light: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Strength ``[SIDE, SIDE, DIRECTIONS]`` of the edge at each pixel, shared by the two nearest directions."""
        down, across = np.gradient(light)
        at = np.arctan2(down, across) % np.pi / np.pi * self.DIRECTIONS
        away = np.abs(at[..., None] - np.arange(self.DIRECTIONS))
        away = np.minimum(away, self.DIRECTIONS - away)
        strength = np.maximum(0.0, np.hypot(down, across) - self.WEAK)
        return strength[..., None] * np.maximum(0.0, 1.0 - away)


class ClipFeatures:
    """CLIP's projected image features (arXiv 2103.00020, section 2.3), as in the paper of SUGAR.

    Raises:
        InputError: on first use, if the model cannot be found or read, or is no CLIP.
    """

    threshold = 0.95
    """A guess: how well real CLIP weights choose has not been measured here."""

    def __init__(self, config: FrameFeaturesConfig, device: str, folder: Path | None) -> None:
        self.config = config
        self.device = device
        self.folder = folder
        self._one_at_a_time = threading.Lock()

    @property
    def name(self) -> str:
        return self.config.name

    @cached_property
    def fingerprint(self) -> str:
        """Commit of an id, or hash of a folder's weights and settings; and the number format."""
        return f"{self._revision()}-{self.config.dtype}"

    def encode(self, images: Sequence["Image.Image"]) -> Features:
        import torch
        from torch.nn.functional import normalize

        size = self.config.batch_size
        rows = []
        with self._one_at_a_time, torch.inference_mode():
            processor, model = self._parts
            for at in range(0, len(images), size):
                batch = [image.convert("RGB") for image in images[at : at + size]]
                pixels = processor(images=batch, return_tensors="pt")["pixel_values"]
                embeds = model(pixel_values=pixels.to(self.device, model.dtype)).image_embeds
                rows.append(normalize(embeds.float(), dim=-1).cpu().numpy())
        return np.concatenate(rows)

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Image processor and model."""
        # Importing transformers takes seconds, and a run with cached frames never needs it.
        import torch
        from transformers import AutoConfig, AutoImageProcessor, CLIPVisionModelWithProjection

        pretrained = (
            Pretrained(str(self.folder), local=True)
            if self.folder
            else Pretrained(self.name, local=False, revision=self._revision())
        )
        with loading(f"frame features {self.name}: cannot be loaded"):
            config = pretrained.load(AutoConfig)
            if config.model_type not in ("clip", "clip_vision_model"):
                raise InputError(f"frame features {self.name}: is a {config.model_type}, no CLIP model; name one")
            if config.model_type == "clip":
                # The whole model's width holds for the vision side too, which has a default of its own.
                projection_dim, config = config.projection_dim, config.vision_config
                config.projection_dim = projection_dim
            # Pillow's resizing everywhere: the same features with and without torchvision.
            processor = pretrained.load(AutoImageProcessor, backend="pil")
            dtype = getattr(torch, self.config.dtype)
            model, report = pretrained.load_weights(CLIPVisionModelWithProjection, config=config, dtype=dtype)
        if missing := sorted(report["missing_keys"]):
            raise InputError(f"frame features {self.name}: its files lack the weight {missing[0]}; fetch it again")
        return processor, model.eval().requires_grad_(False).to(self.device)

    def _revision(self) -> str:
        """The commit of an id, or a hash over everything in a folder that changes a feature."""
        if self.folder is None:
            revision = self.config.revision or "main"
            return hub_commit(self.name, revision, f"frame features {self.name}@{revision}")
        weights = sorted(self.folder.glob("*.safetensors"))
        return files_hash([*weights, self.folder / "config.json", self.folder / "preprocessor_config.json"])
