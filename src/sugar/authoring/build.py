"""Build the knowledge pack of an action list with LLMs and vision models: SUGAR's step 1.

Imports pydantic. The tasks in turn: the meaning of bare names, motion texts and motion sentences, visual texts from
clips, class descriptions, new texts of easily confused classes, and descriptions of single clips.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sugar.authoring.client.request import Request
from sugar.authoring.client.runner import Answer, Runner, run_each
from sugar.authoring.config import BuildConfig, ContrastTexts, check_build
from sugar.authoring.media.shown_clips import Draw, ShownClip, shown_clips, training_clips
from sugar.authoring.tasks.answer_shape import AnswerShape, words
from sugar.authoring.tasks.class_descriptions import DescriptionsAnswer, descriptions, descriptions_request
from sugar.authoring.tasks.clip_descriptions import ClipAnswer, clip_description_request
from sugar.authoring.tasks.contrast import (
    ConfusablePair,
    ContrastAnswer,
    confusable_by_report,
    confusable_by_similarity,
    contrast_request,
    contrasted,
)
from sugar.authoring.tasks.label_expansion import ExpandedLabel, LabelAnswer, expanded_label, label_request
from sugar.authoring.tasks.motion_knowledge import MotionAnswer, People, motion_request, motion_texts
from sugar.authoring.tasks.motion_sentences import SentencesAnswer, motion_sentences, motion_sentences_request
from sugar.authoring.tasks.quoting import quoted
from sugar.authoring.tasks.visual_knowledge import VisualAnswer, visual_request
from sugar.config import write_config
from sugar.datasets.class_names import class_names
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.facts.measure import measure
from sugar.files import write_text
from sugar.knowledge.cache import EmbeddingCache
from sugar.knowledge.embed import TextEncoder
from sugar.knowledge.pack import ClassKnowledge, KnowledgePack, Provenance
from sugar.knowledge.pack_file import write_pack
from sugar.knowledge.quality.figures import ALL, measure_quality

PACK, TEXTS, CLIPS, FAILURES = "pack.yaml", "texts.jsonl", "clip_descriptions.jsonl", "failures.jsonl"
UNKNOWN = "not asked yet"
"""Placeholder in a dry run for a text that a later prompt contains."""

Texts = dict[str, tuple[str, ...]]
"""Of each class."""
_Kind = TypeVar("_Kind", bound=AnswerShape)


@dataclass
class Built:
    """A built pack and the origin of its texts.

    Args:
        rows: one for each text: class, kind, text, and the origin of its answer.
        clips: one for each clip that was described.
        failures: reason by item that has no answer.
    """

    pack: KnowledgePack
    rows: list[dict[str, Any]] = field(default_factory=list)
    clips: list[dict[str, Any]] = field(default_factory=list)
    failures: Mapping[str, str] = field(default_factory=dict)


def build_knowledge(
    config: BuildConfig, out: Path, runner: Runner, encoder: TextEncoder | None = None, draw: Draw | None = None
) -> Built:
    """Run all tasks of ``config`` and write the results to the folder ``out``.

    It holds ``pack.yaml``; ``texts.jsonl`` with the origin of each text; ``clip_descriptions.jsonl``;
    ``failures.jsonl``; ``build.yaml``; the journal. A second build runs only what is new or changed. A dry run writes
    nothing.

    Args:
        encoder: finds the classes whose texts are alike, for ``contrast``.
        draw: draws skeletons, for ``visual.source`` drawn.

    Raises:
        InputError: the config contradicts itself, a folder is not there, or the server cannot be worked with.
    """
    out, names = Path(out), action_names(config)
    build = _Build(config, names, runner, shown_clips(config.visual, names, out / "frames", draw))
    if not runner.dry:
        write_config(config, out / "build.yaml")
    built = build.run(encoder)
    if not runner.dry:
        _write(built, out)
    return built


def action_names(config: BuildConfig) -> tuple[str, ...]:
    """The class names, in their order.

    Raises:
        InputError: the config contradicts itself, or a name cannot be sent or is given twice.
    """
    check_build(config)
    if config.classes:
        names = tuple(config.classes)
    elif (Path(config.class_list) / "manifest.json").is_file():
        names = Store.open(config.class_list).classes
    else:
        names = class_names(config.class_list)
    for name in names:
        quoted(name)
    if len({name.casefold() for name in names}) < len(names):
        raise InputError("knowledge build: a class is given twice; name each once")
    return names


class _Build:
    """The tasks in turn, and their results."""

    def __init__(self, config: BuildConfig, names: Sequence[str], runner: Runner, shown: list[ShownClip]) -> None:
        self.config, self.names, self.runner, self.shown = config, names, runner, shown
        self.labels: dict[str, ExpandedLabel] = {}
        self.rows: list[dict[str, Any]] = []

    def run(self, encoder: TextEncoder | None) -> Built:
        if self.config.expand:
            self._expand()
        motion, sentences, seen = self._motion(), self._sentences(), self._seen()
        described = self._descriptions(motion)
        entries = (
            ClassKnowledge(name, *(texts.get(name, ()) for texts in (motion, seen, described, sentences)))
            for name in self.names
        )
        pack = self._pack(tuple(entries))
        if self.config.contrast.pairs and encoder is not None and not self.runner.dry:
            pack = self._contrasted(pack, encoder)
        clips = self._clips(pack) if self.config.descriptions.store else []
        return Built(pack, self.rows, clips, self.runner.failures)

    def _expand(self) -> None:
        requests = {name: label_request(name, self.names, about=self.config.about) for name in self.names}
        for name, found, _ in self._of_classes(LabelAnswer, requests):
            if (label := expanded_label(name, found)) is not None:
                self.labels[name] = label
            else:
                self.runner.failures[f"label/{name}"] = (
                    "tells no action: rename the class, or say what it is in `about`"
                )

    def _motion(self) -> Texts:
        requests = {
            name: motion_request(
                name, count=self.config.motion.texts, people=self._people(name), meaning=self._meaning(name)
            )
            for name in (self.names if self.config.motion.texts else ())
        }
        answers = self._of_classes(MotionAnswer, requests)
        return {name: self._keep(name, "motion", motion_texts(name, found), answer) for name, found, answer in answers}

    def _sentences(self) -> Texts:
        requests = {
            name: motion_sentences_request(name, people=self._people(name), meaning=self._meaning(name))
            for name in (self.names if self.config.motion.sentences else ())
        }
        answers = self._of_classes(SentencesAnswer, requests)
        return {
            name: self._keep(name, "motion_sentences", motion_sentences(found), answer)
            for name, found, answer in answers
        }

    def _seen(self) -> Texts:
        """Visual texts of each class, from its clips in turn, their first frames first."""
        shown, config, meanings = self.shown, self.config.visual, {name: self._meaning(name) for name in self.names}
        whole = config.send != "frame"

        def requests(task: Mapping[str, Any]) -> Iterator[Request]:
            clip = shown[task["clip"]]
            media = clip.media()
            for number, sent in enumerate([media] if whole else [[part] for part in media]):
                item = f"visual/{number}/{task['clip']}/{clip.clip_id}"
                yield visual_request(clip.class_, sent, item=item, source=clip.source, meaning=meanings[clip.class_])

        def place(answer: Answer) -> tuple[int, int]:
            _, number, clip, _ = answer.item.split("/", 3)
            return int(number), int(clip)

        clips = [{"clip": number} for number in range(len(shown))]
        answers = sorted(self.runner.run(clips, requests, len(shown) if whole else None), key=place)
        kept: dict[str, dict[tuple[str, ...], str]] = {name: {} for name in self.names}
        for answer in answers:
            clip = shown[place(answer)[1]]
            for text in VisualAnswer.model_validate(answer.content).texts:
                texts = kept[clip.class_]
                if words(text) not in texts and not 0 < config.texts <= len(texts):
                    texts[words(text)] = text
                    self._keep(clip.class_, "visual", (text,), answer, clip=clip.clip_id, source=clip.source)
        return {name: tuple(texts.values()) for name, texts in kept.items()}

    def _descriptions(self, motion: Texts) -> Texts:
        if self.runner.dry:
            motion = {name: (UNKNOWN,) for name in self.names} | motion
        requests = {
            name: descriptions_request(
                name,
                motion[name],
                count=self.config.descriptions.texts,
                people=self._people(name),
                meaning=self._meaning(name),
            )
            for name in (self.names if self.config.descriptions.texts else ())
            if name in motion
        }
        answers = self._of_classes(DescriptionsAnswer, requests)
        return {name: self._keep(name, "descriptions", descriptions(found), answer) for name, found, answer in answers}

    def _contrasted(self, pack: KnowledgePack, encoder: TextEncoder) -> KnowledgePack:
        pairs = confusable_pairs(pack, self.config.contrast, encoder)
        new, origins = contrast_pack(pack, pairs, self.runner)
        kinds = ("motion", "motion_sentences", "descriptions")
        self.rows = [row for row in self.rows if row["class"] not in origins or row["kind"] not in kinds]
        for name, answer in origins.items():
            for kind in kinds:
                self._keep(name, kind, getattr(new[name], kind), answer)
        return new

    def _clips(self, pack: KnowledgePack) -> list[dict[str, Any]]:
        """Descriptions of single training clips of a store."""
        wanted = self.config.descriptions
        store, indices = training_clips(wanted.store, wanted.protocol)
        chosen = [i for i in indices if store.classes[store.labels[i]] in pack]

        def requests(task: Mapping[str, Any]) -> list[Request]:
            name = store.classes[store.labels[task["clip"]]]
            clip_id = store.clip_ids[task["clip"]]
            return [clip_description_request(clip_id, name, pack[name].motion, measure(store[task["clip"]]))]

        place = {f"clip/{store.clip_ids[i]}": number for number, i in enumerate(chosen)}
        answers = sorted(
            self.runner.run([{"clip": i} for i in chosen], requests, len(chosen)), key=lambda answer: place[answer.item]
        )
        return [
            {
                "clip_id": answer.item.removeprefix("clip/"),
                "text": ClipAnswer.model_validate(answer.content).text,
                **answer.origin(),
            }
            for answer in answers
        ]

    def _of_classes(self, kind: type[_Kind], requests: Mapping[str, Request]) -> Iterable[tuple[str, _Kind, Answer]]:
        """One request a class: names, parsed answers and answers, in the order of the names."""
        answers = {answer.item: answer for answer in run_each(self.runner, list(requests.values()))}
        return [
            (name, kind.model_validate(answers[request.item].content), answers[request.item])
            for name, request in requests.items()
            if request.item in answers
        ]

    def _keep(self, name: str, kind: str, texts: tuple[str, ...], answer: Answer, **more: str) -> tuple[str, ...]:
        """Record the origin of texts."""
        self.rows += [{"class": name, "kind": kind, "text": text, **more, **answer.origin()} for text in texts]
        return texts

    def _people(self, name: str) -> People | None:
        return self.labels[name].people if name in self.labels else None

    def _meaning(self, name: str) -> str:
        return self.labels[name].meaning if name in self.labels else ""

    def _pack(self, entries: tuple[ClassKnowledge, ...]) -> KnowledgePack:
        config = self.config
        seen = {"none": "", "videos": ", visual texts from frames of videos"}.get(
            config.visual.source, ", visual texts from drawn skeletons"
        )
        provenance = Provenance(
            author=config.author,
            method=f"asked of {config.provider.name} by sugar knowledge build{seen}; each text's origin is in {TEXTS}",
            date=datetime.now(UTC).strftime("%Y-%m"),
            license=config.license,
        )
        return KnowledgePack(config.name, "1", config.language, provenance, entries)


def confusable_pairs(pack: KnowledgePack, config: ContrastTexts, encoder: TextEncoder) -> list[ConfusablePair]:
    """The pairs of easily confused classes that ``config`` selects, the worst first.

    Raises:
        InputError: the report cannot be read.
    """
    if config.report:
        pairs = confusable_by_report(Path(config.report), count=config.pairs, threshold=config.above)
        return [pair for pair in pairs if pair.first in pack and pair.second in pack]
    quality = measure_quality(pack, encoder, EmbeddingCache())
    similarity = np.array(quality.similarity[ALL], dtype=np.float64)  # None becomes NaN, which is never close
    return confusable_by_similarity(similarity, pack.names, count=config.pairs, threshold=config.above)


def contrast_pack(
    pack: KnowledgePack, pairs: Sequence[ConfusablePair], runner: Runner
) -> tuple[KnowledgePack, dict[str, Answer]]:
    """The pack with new texts of the classes in ``pairs``, and the answer behind the new texts of each class.

    A class of several pairs takes the texts of the first pair, and those of the others after them.

    Raises:
        InputError: a text cannot be sent, or the server cannot be worked with.
    """
    requests = [contrast_request(pack[pair.first], pack[pair.second]) for pair in pairs]
    answers = {answer.item: answer for answer in run_each(runner, requests)}
    entries = {entry.name: entry for entry in pack.classes}
    origins: dict[str, Answer] = {}
    for pair, request in zip(pairs, requests, strict=True):
        if request.item not in answers:
            continue
        found = ContrastAnswer.model_validate(answers[request.item].content)
        for name, new in ((pair.first, found.first), (pair.second, found.second)):
            entries[name] = contrasted(entries[name], new, add=name in origins)
            origins.setdefault(name, answers[request.item])
    return replace(pack, classes=tuple(entries[name] for name in pack.names)), origins


def _write(built: Built, out: Path) -> None:
    write_pack(built.pack, out / PACK)
    failures = [{"item": item, "failure": failure} for item, failure in built.failures.items()]
    for file, rows in ((TEXTS, built.rows), (CLIPS, built.clips), (FAILURES, failures)):
        if rows:
            write_text(out / file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        else:
            (out / file).unlink(missing_ok=True)
