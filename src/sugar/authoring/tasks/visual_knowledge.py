"""Visual knowledge asked of a model that sees: what belongs to an action in pictures of it (docs/design.md, section 1).

From a name alone there is none: every question carries pictures. Imports pydantic.
"""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import field_validator

from sugar.authoring.client.request import Media, Request
from sugar.authoring.tasks.answer_shape import AnswerShape, Text, check_different, check_words, distinct_texts, exactly
from sugar.authoring.tasks.motion_knowledge import meaning_line
from sugar.authoring.tasks.quoting import Marked, prompt, quoted

Source = Literal["video", "drawn skeleton"]

_WORDS = (4, 50)
_ABOUT_PICTURES = re.compile(
    r"^(in )?(this|these|the|an?) (image|picture|frame|photo|photograph|video|clip|scene|footage|drawing)s?\b"
    r"(?! of\b)(.{0,20}\b(shows?|depicts?|displays?|captures?|features?|illustrates?)\b|,)",
    re.IGNORECASE,
)
_ABOUT_DRAWINGS = re.compile(
    r"\b(skeletons?|stick[ -]?figures?|drawings?|joints?|wireframes?|dots|lines)\b", re.IGNORECASE
)
_SEEN: dict[tuple[Source, str], str] = {
    ("video", "frame"): "The picture is a single frame of a video.",
    ("video", "frames"): "The pictures are $n frames of one video, in order of time.",
    ("video", "clip"): "You are shown a video.",
    ("drawn skeleton", "frame"): "The picture is a drawing of the body at one moment of a recorded movement.",
    (
        "drawn skeleton",
        "frames",
    ): "The pictures are $n drawings of the body at moments of one recorded movement, in order of time.",
    ("drawn skeleton", "clip"): "You are shown a video that is a drawing of a recorded movement.",
}
_DRAWN = (
    "\nOnly the joints were recorded: dots and lines are the person's joints and limbs. There are no things, no faces\n"
    "and no scene. Describe the person who moved, not the drawing; never mention skeletons, figures, lines or joints."
)
_SCOPE: dict[Source, str] = {
    "video": "the part of the scene that belongs to the action: the person or people, the things that they use,\n"
    "   and what happens to them",
    "drawn skeleton": "posture and movement that can be seen: how the body stands or sits, which limbs are raised,\n"
    "   bent or stretched, and which way they go. Name a thing only if the name of the action has it",
}
_UNRELATED: dict[Source, str] = {
    "video": "no background, clothing, lighting, camera or guess about the person",
    "drawn skeleton": "no place, clothing, face, age, sex or guess about the person",
}
_EXAMPLE: dict[Source, tuple[str, str]] = {
    "video": ("drink water", "A person lifts a glass of water to the lips with the right hand and drinks."),
    "drawn skeleton": (
        "drink water",
        "A person stands upright and raises one bent arm until the hand is before the mouth; the other hangs.",
    ),
}


class VisualAnswer(AnswerShape):
    """What is seen, in one or several texts."""

    texts: list[Text]


def visual_request(
    name: str,
    media: Sequence[Media],
    *,
    item: str,
    count: int = 1,
    source: Source = "video",
    meaning: str = "",
) -> Request:
    """Ask what is seen in pictures of a class: one frame, several frames in order of time, or one video.

    Args:
        item: what the answer is for; unique in a job: ``"visual/drink water/a01_s01 frame 12"``.
        count: how many texts; 1 is usual for one frame.
        source: ``drawn skeleton``: drawings of joints, in which there is no scene to describe.
        meaning: as of `motion_knowledge.motion_request`.

    Raises:
        InputError: a name or meaning that cannot be sent.
        ValueError: no picture, or a video among others.
    """
    videos = sum(part.media_type.startswith("video/") for part in media)
    if not media or (videos and len(media) > 1):
        raise ValueError(f"visual_request wants images or one video, not {videos} videos of {len(media)} media")
    kind = "clip" if videos else "frame" if len(media) == 1 else "frames"
    seen = _SEEN[source, kind].replace("$n", str(len(media)))
    example_action, example = _EXAMPLE[source]
    text = prompt(
        "visual",
        pictures=Marked(seen + (_DRAWN if source == "drawn skeleton" else "")),
        count=count,
        scope=Marked(_SCOPE[source]),
        unrelated=Marked(_UNRELATED[source]),
        example_action=quoted(example_action),
        example=quoted(example),
        action=quoted(name),
        meaning=meaning_line(meaning),
    )
    return Request(item, text, visual_answer(count, source), template="visual", media=tuple(media))


def visual_texts(answers: Sequence[VisualAnswer], *, most: int | None = None) -> tuple[str, ...]:
    """The texts of all answers about a class, without repeats; ``most`` of them, taken from each answer in turn."""
    longest = max((len(answer.texts) for answer in answers), default=0)
    in_turn = [answer.texts[i] for i in range(longest) for answer in answers if i < len(answer.texts)]
    return distinct_texts(in_turn)[:most]


def visual_answer(count: int, source: Source) -> type[VisualAnswer]:
    """The shape of the answer to `visual_request`."""

    class ExpectedVisualAnswer(VisualAnswer):
        texts: exactly(Text, count)  # type: ignore[valid-type]

        @field_validator("texts")
        @classmethod
        def _fit(cls, texts: list[str]) -> list[str]:
            check_words(texts, *_WORDS)
            check_different(texts)
            for number, text in enumerate(texts, start=1):
                if _ABOUT_PICTURES.search(text):
                    raise ValueError(f"text {number} speaks of the picture: begin with the person and say what is done")
                drawn = _ABOUT_DRAWINGS.search(text) if source == "drawn skeleton" else None
                if drawn:
                    raise ValueError(f"text {number} mentions {drawn[0]!r}: describe the person, not the drawing")
            return texts

    return ExpectedVisualAnswer
