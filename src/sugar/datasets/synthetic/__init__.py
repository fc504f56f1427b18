"""A built-in set of made-up clips: articulated bodies moved by small programs over their joint angles.

A :class:`~sugar.datasets.synthetic.body.Person` has proportions and habits, a program fills a
:class:`~sugar.datasets.synthetic.motion.Motion` with curves of joint angles and places of hands and feet,
:func:`~sugar.datasets.synthetic.body.pose` turns the two into joint positions, and a camera with its noise
looks on. Clips are like those of a Kinect v2 (layout ``ntu25``, meters, x to the sensor's left, y up, z away
from the sensor). They are no stand-in for real recordings: figures measured on them say that the code works,
not how well a model recognizes people.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from sugar.datasets.synthetic.actions import Action, PairAction
from sugar.datasets.synthetic.bodies import BODY_ACTIONS
from sugar.datasets.synthetic.body import Person
from sugar.datasets.synthetic.hands import HAND_ACTIONS
from sugar.datasets.synthetic.legs import LEG_ACTIONS
from sugar.datasets.synthetic.pairs import PAIR_ACTIONS
from sugar.datasets.synthetic.recording import CAMERAS, FPS, perform, perform_pair, record, record_pair
from sugar.datasets.synthetic.truth import Truth
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import NTU25

ACTIONS: tuple[Action, ...] = HAND_ACTIONS + BODY_ACTIONS + LEG_ACTIONS

_ALL: tuple[Action | PairAction, ...] = (*ACTIONS, *PAIR_ACTIONS)
SYNTHETIC_CLASSES = tuple(action.name for action in _ALL)

# Chosen before any result was seen. Each is made of what seen classes show: jumping jacks of a jump and of
# both arms overhead (wave with both hands); a push of the stretched arm (punch) by both hands (clap); picking
# up of bending (bow), of a hand at the floor (touch the toes) and of bent knees (squat); marching of lifted
# legs (kick) and of alternate feet (walk). And no two share limbs, heights and posture.
UNSEEN_CLASSES = ("jumping jacks", "push with both hands", "pick up an object", "march on the spot")
"""The four actions that the demo recognizes without training on them."""
SEEN_CLASSES = tuple(name for name in SYNTHETIC_CLASSES if name not in UNSEEN_CLASSES)

PEOPLE = 12
"""People 1 to 8 are seen by cameras 1 and 2, people 9 to 12 by camera 3."""

# Both groups from the first clips on, so that a small set can be split too.
_TURNS = (1, 9, 2, 3, 10, 4, 5, 11, 6, 7, 12, 8)


def generate(clips_per_class: int, seed: int, classes: Sequence[str] = SYNTHETIC_CLASSES) -> Iterator[SkeletonClip]:
    """Clips of twelve people, class by class, in turn over people and cameras.

    Clip i of a class depends on the seed, the class and i alone: a larger set contains the smaller one.

    Raises:
        InputError: an unknown class.
    """
    return (clip for clip, _ in generate_with_truth(clips_per_class, seed, classes))


def generate_with_truth(
    clips_per_class: int, seed: int, classes: Sequence[str] = SYNTHETIC_CLASSES
) -> Iterator[tuple[SkeletonClip, Truth]]:
    """The clips of :func:`generate`, each with its true facts.

    Raises:
        InputError: an unknown class.
    """
    by_name = {action.name: (number, action) for number, action in enumerate(_ALL)}
    people = {p: Person.draw(np.random.default_rng([seed, 0, p])) for p in _TURNS}
    for name in classes:
        if name not in by_name:
            raise InputError(f"no synthetic class {name!r}: use some of {', '.join(by_name)}")
        number, action = by_name[name]
        for i in range(clips_per_class):
            subject, trial = _TURNS[i % PEOPLE], i // PEOPLE + 1
            camera = 3 if subject > 8 else 1 + (subject + trial) % 2
            rng = np.random.default_rng([seed, 1, number, i])
            if isinstance(action, PairAction):
                # Who trains never meets who tests.
                others = [p for p in _TURNS if (p > 8) == (subject > 8) and p != subject]
                second = people[others[rng.integers(len(others))]]
                joints, truth = record_pair(people[subject], second, action, CAMERAS[camera], rng)
            else:
                joints, truth = record(people[subject], action, CAMERAS[camera], rng)
            clip = SkeletonClip(
                joints=joints,
                layout=NTU25,
                fps=FPS,
                clip_id=f"{name.replace(' ', '-')}-p{subject:02}-c{camera}-t{trial:02}",
                label=name,
                subject=subject,
                camera=camera,
                trial=trial,
            )
            yield clip, truth


__all__ = [
    "ACTIONS",
    "PAIR_ACTIONS",
    "SEEN_CLASSES",
    "SYNTHETIC_CLASSES",
    "UNSEEN_CLASSES",
    "Action",
    "PairAction",
    "Truth",
    "generate",
    "generate_with_truth",
    "perform",
    "perform_pair",
]
