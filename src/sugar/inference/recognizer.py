"""What users hold: a trained model that recognizes and describes clips."""

import reprlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch

from sugar.errors import InputError
from sugar.inference.recognition import Recognition
from sugar.knowledge.fact_captions import measure_clips
from sugar.knowledge.pack import KnowledgePack
from sugar.models.candidates import Candidates
from sugar.models.run_folder import load_model
from sugar.models.scorers.encoded import Encoded
from sugar.models.scorers.scorers import FUSED, FUSED_NAMES, NAMES, describe, fuse, score
from sugar.models.sugar import Sugar
from sugar.skeleton.clip import SkeletonClip
from sugar.transforms.batches import batch_clips

CACHED_LISTS = 16


class Recognizer:
    """Recognizes clips by any list of candidates, a batch at a time; safe to keep for days: its caches are bounded.

    Args:
        model: moved to ``device`` and put into evaluation mode.
        device: None: a GPU where there is one.
        batch_size: clips in one pass; bounds the memory.
    """

    def __init__(self, model: Sugar, *, device: str | torch.device | None = None, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}: give 1 or more")
        self.model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
        self.batch_size = batch_size
        self._candidates: OrderedDict[tuple[tuple[str, ...], KnowledgePack | None], Candidates] = OrderedDict()

    @classmethod
    def load(
        cls,
        run: str | Path,
        *,
        llm: str | None = None,
        device: str | torch.device | None = None,
        batch_size: int = 32,
    ) -> "Recognizer":
        """Load a run folder.

        Args:
            llm: the folder or id of the LLM where it is not where the run's config says.

        Raises:
            InputError: no run there, or a file of it is missing, damaged or does not fit.
        """
        return cls(load_model(run, llm=llm), device=device, batch_size=batch_size)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the training classes."""
        return self.model.classes

    def recognize(
        self,
        clip: SkeletonClip,
        candidates: Iterable[str] | None = None,
        pack: KnowledgePack | None = None,
        *,
        describe: bool = True,
        scorers: Sequence[str] = NAMES,
    ) -> Recognition:
        """Recognize and describe one clip.

        Args:
            candidates: names to choose from, training classes or not; None: the training classes.
            pack: knowledge about candidates that are no training classes; without it their names must do.
            describe: False leaves the description empty and saves most of the time.
            scorers: those to compute; `fused` weighs the ones among them that it can.

        Raises:
            InputError: joints that cannot be brought to the model's layout; an empty, repeated or missing candidate; an
                unknown scorer, or none that the model has.
        """
        if not isinstance(clip, SkeletonClip):
            raise InputError(f"clip: give a SkeletonClip, not {reprlib.repr(clip)}; `sugar predict` reads files")
        return self.recognize_all([clip], candidates, pack, describe=describe, scorers=scorers)[0]

    def recognize_all(
        self,
        clips: Iterable[SkeletonClip],
        candidates: Iterable[str] | None = None,
        pack: KnowledgePack | None = None,
        *,
        describe: bool = True,
        scorers: Sequence[str] = NAMES,
    ) -> list[Recognition]:
        """Recognize clips in batches; arguments and errors as for `recognize`."""
        return list(self.recognize_each(clips, candidates, pack, describe=describe, scorers=scorers))

    def recognize_each(
        self,
        clips: Iterable[SkeletonClip],
        candidates: Iterable[str] | None = None,
        pack: KnowledgePack | None = None,
        *,
        describe: bool = True,
        scorers: Sequence[str] = NAMES,
    ) -> Iterator[Recognition]:
        """Recognize clips as they come, a batch at a time, in constant memory; otherwise as `recognize_all`."""
        names = checked_names(candidates, pack)
        unknown = [name for name in scorers if name not in NAMES]
        if unknown or not scorers:
            raise InputError(f"scorers: {', '.join(unknown) or 'the list is empty'}; give some of {', '.join(NAMES)}")
        if not isinstance(clips, Iterable):
            raise InputError(f"clips: give SkeletonClips, not {reprlib.repr(clips)}; `sugar predict` reads files")
        chosen = self._chosen(self.classes if names is None else names, pack)
        return self._batches(iter(clips), chosen, describe=describe, scorers=scorers)

    def _batches(
        self, clips: Iterator[SkeletonClip], chosen: Candidates, *, describe: bool, scorers: Sequence[str]
    ) -> Iterator[Recognition]:
        while batch := list(islice(clips, self.batch_size)):
            if wrong := [clip for clip in batch if not isinstance(clip, SkeletonClip)]:
                raise InputError(
                    f"clips: give a SkeletonClip, not {reprlib.repr(wrong[0])}; `sugar predict` reads files"
                )
            yield from self._recognize(batch, chosen, describing=describe, scorers=scorers)

    @torch.no_grad()
    def _recognize(
        self, clips: Sequence[SkeletonClip], chosen: Candidates, *, describing: bool, scorers: Sequence[str]
    ) -> list[Recognition]:
        model = self.model
        measured = None if model.trained_on(chosen) else measure_clips(clips)
        encoded = Encoded(model, batch_clips(clips, model.config.preprocess, model.layout).to(model.device), measured)
        scores = score(encoded, chosen, scorers)
        if not scores:
            raise InputError(f"scorers: the model has none of {', '.join(scorers)}")
        probabilities = {name: table.exp().cpu() for name, table in scores.items()}
        if set(FUSED_NAMES) & set(scores):
            probabilities[FUSED] = fuse(model, scores, chosen)
        main = FUSED if FUSED in probabilities else list(probabilities)[-1]
        best = [chosen.names[int(i)] for i in probabilities[main].argmax(dim=1)]
        texts = describe(encoded, chosen, best) if describing else [""] * len(clips)
        return [
            Recognition.from_scores(clip, chosen.names, {name: rows[i] for name, rows in probabilities.items()}, text)
            for i, (clip, text) in enumerate(zip(clips, texts, strict=True))
        ]

    def _chosen(self, names: tuple[str, ...], pack: KnowledgePack | None) -> Candidates:
        """The candidates of these names; the latest lists are kept."""
        key = (names, pack)
        if key not in self._candidates:
            self._candidates[key] = self.model.candidates(names, pack)
            while len(self._candidates) > CACHED_LISTS:
                self._candidates.popitem(last=False)
        self._candidates.move_to_end(key)
        return self._candidates[key]


def checked_names(candidates: Iterable[str] | None, pack: KnowledgePack | None) -> tuple[str, ...] | None:
    """Candidates as a user gave them, in whatever holds them.

    Raises:
        InputError: they are something else, such as one text in place of a list.
    """
    if pack is not None and not isinstance(pack, KnowledgePack):
        raise InputError(f"pack: give what sugar.knowledge.pack.load_pack returns, not {reprlib.repr(pack)}")
    if candidates is None:
        return None
    names = tuple(candidates) if isinstance(candidates, Iterable) and not isinstance(candidates, str) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"candidates: give a list of names, not {reprlib.repr(candidates)}")
    return tuple(map(str, names))
