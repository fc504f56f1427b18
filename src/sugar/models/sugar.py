"""The whole of SUGAR: clips in, label, scores and description out.

Scores (DESIGN D15): `text` (stage-1 similarity), `llm` (exact scoring of the candidate list), `fused`
(both, weighed on validation clips), and `fc`, the linear baseline, beside them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sugar.config import parse_config, read_yaml
from sugar.datasets.batches import ClipBatch, PreprocessConfig, batch_clips
from sugar.datasets.views import View, view_joints
from sugar.errors import InputError
from sugar.files import atomic_write, write_text
from sugar.knowledge.bank import TextBank, build_bank
from sugar.knowledge.embed import EmbeddingCache, TextEncoderConfig, load_text_encoder
from sugar.models.alignment import AlignmentConfig, KnowledgeAlignment, class_log_probabilities
from sugar.models.baseline import LinearBaseline, conse_log_probabilities
from sugar.models.bridges import Bridge, BridgeConfig
from sugar.models.encoders.build import EncoderConfig, build_encoder
from sugar.models.fusion import Fusion
from sugar.models.language import LanguageConfig, LanguageModel
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout

CLASSES_FILE = "classes.json"
SCORERS = ("fc", "text", "llm")
FUSED_SCORERS = ("text", "llm")


@dataclass
class ModelConfig:
    """What the model is made of; with the weights it is all that recognition needs."""

    frames: int = 52
    """Every clip is resampled to so many frames; 0 keeps each clip's own length."""
    views: tuple[View, ...] = (View(),)
    """Looks at a clip in recognition, whose probabilities are averaged."""
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    """What is done to every clip before anything else."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """The skeleton encoder."""
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    """The frozen text encoder."""
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    """Stage 1's contrast."""
    bridge: BridgeConfig = field(default_factory=BridgeConfig)
    """From encoder tokens to LLM tokens."""
    language: LanguageConfig = field(default_factory=LanguageConfig)
    """The LLM; no name: the model recognises without one."""


@dataclass(frozen=True)
class Recognition:
    """What was recognised in one clip."""

    clip_id: str
    label: str
    """The most probable candidate by the last scorer of `scores`: `fused` where it exists."""
    top: list[tuple[str, float]]
    """Candidates with their probabilities, the best first."""
    scores: dict[str, dict[str, float]]
    """Each scorer's probabilities by candidate."""
    description: str
    """What the LLM says of the clip; empty without an LLM."""


class Sugar(nn.Module):
    """Encoder, alignment, bridge, LLM and linear baseline, each there or not as far as training has come.

    Args:
        classes: names of the training classes, in label order.
        bank: the knowledge texts of those classes, embedded.
    """

    def __init__(self, *, config: ModelConfig, layout: JointLayout, classes: Sequence[str], bank: TextBank) -> None:
        super().__init__()
        self.config, self.layout, self.classes, self.bank = config, layout, tuple(classes), bank
        self.encoder = build_encoder(config.encoder, layout)
        self.alignment = KnowledgeAlignment(
            in_channels=self.encoder.out_channels,
            text_channels=bank.embeddings.shape[1],
            num_classes=len(self.classes),
            config=config.alignment,
            num_branches=self.encoder.num_branches,
        )
        self.baseline: LinearBaseline | None = None
        self.bridge: Bridge | None = None
        self.language: LanguageModel | None = None
        self.fusion: Fusion | None = None
        self._candidates: dict[tuple[str, ...], TextBank] = {}

    def add_baseline(self) -> LinearBaseline:
        """Give the model a fresh linear baseline."""
        encoder = build_encoder(self.config.encoder, self.layout)
        self.baseline = LinearBaseline(encoder=encoder, num_classes=len(self.classes))
        return self.baseline

    def add_language(self) -> tuple[Bridge, LanguageModel]:
        """Load the LLM that the config names and give the model a fresh bridge to it."""
        self.language = LanguageModel.load(self.config.language)
        self.bridge = self.config.bridge.build(in_channels=self.encoder.out_channels, out_channels=self.language.width)
        return self.bridge, self.language

    @property
    def device(self) -> torch.device:
        return self.alignment.log_temperature.device

    # Recognition

    def candidates(self, names: Sequence[str]) -> TextBank:
        """The texts of the candidates: those of the knowledge pack for training classes, else the name alone.

        Raises:
            InputError: no candidate, one twice, or an empty name.
        """
        key = tuple(names)
        if key not in self._candidates:
            if set(key) <= set(self.classes):
                self._candidates[key] = self.bank.subset(key)
            else:
                self._candidates[key] = self._open_vocabulary(key)
        return self._candidates[key].to(self.device)

    def _open_vocabulary(self, names: tuple[str, ...]) -> TextBank:
        """Training classes keep their texts; a new name is embedded as it is."""
        encoder = load_text_encoder(self.config.text_encoder)
        new = build_bank(None, names, encoder, cache=EmbeddingCache())
        known = [name for name in names if name in self.classes]
        return new.replaced_by(self.bank.subset(known)) if known else new

    @torch.no_grad()
    def score(self, batch: ClipBatch, names: Sequence[str], scorers: Sequence[str] = SCORERS) -> dict[str, Tensor]:
        """Log-probabilities ``[B, K]`` over the candidate ``names`` by scorer, those of ``scorers`` that are there.

        Expects preprocessed clips on the model's device and the model in evaluation mode.
        """
        bank = self.candidates(names)
        looks = [self._score_view(batch, view, bank, scorers) for view in self.config.views]
        return {
            scorer: torch.stack([look[scorer] for look in looks]).logsumexp(0).log_softmax(-1) for scorer in looks[0]
        }

    def _score_view(self, batch: ClipBatch, view: View, bank: TextBank, scorers: Sequence[str]) -> dict[str, Tensor]:
        joints, frames = view_joints(batch, self.layout, view, self.config.frames)
        scores = {}
        if "fc" in scorers and self.baseline is not None:
            seen = self.baseline(joints, batch.persons, frames).log_softmax(-1)
            scores["fc"] = self._baseline_scores(seen, bank)
        if not {"text", "llm"} & set(scorers):
            return scores
        tokens, mask = self.encoder(joints, batch.persons, frames)
        if "text" in scorers:
            similarity = self.alignment.embed(tokens, mask) @ bank.embeddings.T
            scores["text"] = class_log_probabilities(
                similarity, bank.classes, len(bank.names), self.alignment.temperature
            )
        if "llm" in scorers and self.language is not None and self.bridge is not None:
            action, action_mask = self.bridge(tokens, mask), self.bridge.output_mask(mask)
            scores["llm"] = self.language.score(action, bank.names, action_mask)
        return scores

    def _baseline_scores(self, seen: Tensor, bank: TextBank) -> Tensor:
        """The softmax renormalised over the candidates; ConSE where one of them was never trained."""
        if set(bank.names) <= set(self.classes):
            columns = [self.classes.index(name) for name in bank.names]
            return seen[:, columns].log_softmax(-1)
        prototypes = self.bank.to(self.device).prototypes()
        return conse_log_probabilities(seen, prototypes, bank.prototypes())

    def fuse(self, scores: Mapping[str, Tensor]) -> Tensor:
        """The `fused` probabilities ``[B, K]`` of `text` and `llm`; equal weights where none were chosen."""
        parts = {name: scores[name].double().cpu().numpy() for name in FUSED_SCORERS if name in scores}
        fusion = self.fusion if self.fusion and set(self.fusion.weights) == set(parts) else Fusion.equal(parts)
        return torch.from_numpy(fusion.apply(parts))

    @torch.no_grad()
    def describe(self, batch: ClipBatch, names: Sequence[str], labels: Sequence[str] | None) -> list[str]:
        """What the LLM says of each clip after its recognised label; empty texts without an LLM.

        Args:
            labels: the recognised names; None: the LLM answers freely, ``{label}. {description}``.
        """
        if self.language is None or self.bridge is None:
            return [""] * len(batch)
        joints, frames = view_joints(batch, self.layout, self.config.views[0], self.config.frames)
        tokens, mask = self.encoder(joints, batch.persons, frames)
        action, action_mask = self.bridge(tokens, mask), self.bridge.output_mask(mask)
        if labels is None:
            return self.language.generate(action, names, action_mask=action_mask)
        return self.language.describe(action, names, labels, action_mask=action_mask)

    def recognize_all(
        self, clips: Sequence[SkeletonClip], candidates: Sequence[str] | None = None
    ) -> list[Recognition]:
        """Recognise and describe clips together; see `recognize`."""
        names = tuple(candidates) if candidates is not None else self.classes
        for clip in clips:
            if clip.layout != self.layout:
                raise InputError(
                    f"clip {clip.clip_id!r}: its joints are {clip.layout.name}, this model reads {self.layout.name}"
                )
        self.eval()
        batch = batch_clips(clips, self.config.preprocess).to(self.device)
        scores = self.score(batch, names)
        probabilities = {name: table.exp().cpu() for name, table in scores.items()}
        probabilities["fused"] = self.fuse(scores)
        best = [names[int(i)] for i in probabilities["fused"].argmax(dim=1)]
        descriptions = self.describe(batch, names, best)
        found = []
        for row, clip in enumerate(clips):
            ranked = sorted(zip(names, probabilities["fused"][row].tolist(), strict=True), key=lambda p: -p[1])
            by_scorer = {
                scorer: dict(zip(names, table[row].tolist(), strict=True)) for scorer, table in probabilities.items()
            }
            found.append(Recognition(clip.clip_id, best[row], ranked, by_scorer, descriptions[row]))
        return found

    def recognize(self, clip: SkeletonClip, candidates: Sequence[str] | None = None) -> Recognition:
        """Recognise and describe one clip.

        Args:
            candidates: names to choose from, training classes or not; None: the training classes.

        Raises:
            InputError: the clip has another joint layout; an empty, repeated or missing candidate.
        """
        return self.recognize_all([clip], candidates)[0]

    # The run folder

    def save(self, folder: Path) -> None:
        """Write the weights that training made into the run folder; ``config.yaml`` is the trainer's.

        The LLM itself is named, not copied: only its adapter is written.
        """
        folder = Path(folder)
        _save(self.encoder, folder / "encoder.safetensors")
        _save(self.alignment, folder / "projection.safetensors")
        if self.baseline is not None:
            _save(self.baseline, folder / "baseline.safetensors")
        if self.bridge is not None and self.language is not None:
            _save(self.bridge, folder / "bridge.safetensors")
            if self.config.language.lora:
                self.language.save_adapter(folder / "adapter")
        self.bank.save(folder / "texts")
        if self.fusion is not None:
            write_text(folder / "fusion.json", self.fusion.to_json() + "\n")
        # Last: a folder with this file is a whole run.
        parts = [name for name in ("baseline", "language") if getattr(self, name) is not None]
        described = {"classes": list(self.classes), "layout": self.layout.to_dict(), "parts": parts}
        write_text(folder / CLASSES_FILE, json.dumps(described, indent=1) + "\n")

    def take_stage_one(self, folder: Path) -> None:
        """Take encoder, alignment and, where it is there, the baseline from another run's folder.

        Raises:
            InputError: a file is missing or does not fit this model.
        """
        _load(self.encoder, folder / "encoder.safetensors")
        _load(self.alignment, folder / "projection.safetensors")
        if (folder / "baseline.safetensors").is_file():
            _load(self.add_baseline(), folder / "baseline.safetensors")

    @classmethod
    def load(cls, folder: str | Path, *, llm: str | None = None) -> "Sugar":
        """Load a run folder, ready to recognise.

        Args:
            llm: the folder or id of the LLM where it is not where the run's config says.

        Raises:
            InputError: no run there, or a file of it is missing, damaged or does not fit.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: no such run folder; give the --out of `sugar train`")
        described = _read_description(folder / CLASSES_FILE)
        values = read_yaml(folder / "config.yaml").get("model", {})
        config, _ = parse_config(ModelConfig, values, where=str(folder / "config.yaml"))
        if llm is not None:
            config.language.name = llm
        layout = JointLayout.from_dict(described["layout"], where=str(folder / CLASSES_FILE))
        bank = TextBank.load(folder / "texts")
        model = cls(config=config, layout=layout, classes=described["classes"], bank=bank)
        model.take_stage_one(folder)
        if "baseline" in described["parts"] and model.baseline is None:
            raise InputError(f"{folder / 'baseline.safetensors'}: missing from the run folder; restore the file")
        if "language" in described["parts"]:
            bridge, language = model.add_language()
            _load(bridge, folder / "bridge.safetensors")
            if config.language.lora:
                language.load_adapter(folder / "adapter")
            _verify_base(language, folder / "environment.json")
        if (folder / "fusion.json").is_file():
            model.fusion = Fusion.from_json((folder / "fusion.json").read_text(encoding="utf-8"))
        return model.eval()


def _save(module: nn.Module, path: Path) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary)


def _load(module: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: missing from the run folder; train again or restore the file")
    try:
        module.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: does not fit the run's config.yaml ({reason}); restore the file") from error


def _read_description(path: Path) -> dict:
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        return {key: described[key] for key in ("classes", "layout", "parts")}
    except FileNotFoundError:
        raise InputError(f"{path}: missing; this is no finished run (sugar train --resume finishes one)") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); restore the file or train again") from error


def _verify_base(language: LanguageModel, path: Path) -> None:
    """The LLM that is loaded must be the one that the adapter was trained on."""
    try:
        expected = json.loads(path.read_text(encoding="utf-8"))["llm"]["hash_after"]
    except FileNotFoundError:
        raise InputError(f"{path}: missing from the run folder; restore the file") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: does not name the LLM's hash ({error}); restore the file") from error
    language.verify(expected)
