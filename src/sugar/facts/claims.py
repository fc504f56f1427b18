"""Claims: the atoms of the grounded motion language, each a statement about a clip that joints can bear out."""

from dataclasses import dataclass
from typing import Literal

Subject = Literal["left hand", "right hand", "both hands", "left foot", "right foot", "body", "knees", "people"]
Predicate = Literal[
    "moves",
    "still",
    "rises to",
    "lowers to",
    "goes",
    "path",
    "repeats",
    "speed",
    "hands",
    "posture",
    "becomes",
    "bends",
    "travels",
    "turns",
    "jumps",
    "distance",
    "contact",
]

HEIGHTS = ("floor", "knee", "hip", "chest", "shoulder", "head", "above the head")
"""Levels of a hand or a foot, from low to high, on the body of a person who stands or sits at that moment."""

VALUES: dict[Predicate, tuple[str, ...]] = {
    "moves": ("",),  # hands and feet that take part in the action
    "still": ("",),  # hands that do not; "body": nothing moves at all
    "rises to": HEIGHTS,  # the highest level a moving hand or foot reaches, if that is above its rest
    "lowers to": HEIGHTS,  # the lowest level, if that is below its rest
    "goes": ("up", "down", "forward", "back", "outward", "inward"),  # main direction; inward: over the midline
    "path": ("straight", "clockwise circle", "counter-clockwise circle", "zigzag"),  # senses as the person sees them
    "repeats": tuple(str(n) for n in range(1, 11)),  # swings of the hand, foot or body; 10: ten or more
    "speed": ("slow", "moderate", "fast"),
    "hands": ("meet", "cross", "part", "together"),  # subject "both hands"; together: they move side by side
    "posture": ("standing", "sitting", "squatting", "kneeling", "lying"),  # throughout the clip
    "becomes": ("standing", "sitting", "squatting", "kneeling", "lying"),  # a change: the posture at its end
    "bends": ("forward", "left", "right", "back", ""),  # subject "body": the trunk; "knees": value ""
    "travels": ("forward", "back", "left", "right", "about", "nowhere"),  # "nowhere" is the claim of staying in place
    "turns": ("left", "right", "around"),
    "jumps": ("",),
    "distance": (
        "far",
        "near",
        "closer",
        "apart",
    ),  # two people: near or far throughout, or coming closer, moving apart
    "contact": ("hands", "embrace", "push"),  # two people: hand meets hand; arms around; a hand meets the other's body
}


@dataclass(frozen=True, order=True)
class Claim:
    """One checkable statement: ``subject`` does ``predicate`` in the way of ``value`` (one of `VALUES`).

    Of two-person clips every claim but those about "people" is of one person, ``person`` (0 or 1).
    """

    subject: Subject
    predicate: Predicate
    value: str = ""
    person: int = 0

    def __post_init__(self) -> None:
        if self.value not in VALUES[self.predicate]:
            raise ValueError(f"claim {self.subject} {self.predicate}: no value {self.value!r}")

    def mirrored(self) -> "Claim":
        """The claim of the same clip seen in a mirror, left and right swapped."""
        swap = {"left": "right", "right": "left", "clockwise circle": "counter-clockwise circle"}
        swap["counter-clockwise circle"] = "clockwise circle"
        subject: Subject = self.subject
        match self.subject:
            case "left hand":
                subject = "right hand"
            case "right hand":
                subject = "left hand"
            case "left foot":
                subject = "right foot"
            case "right foot":
                subject = "left foot"
        return Claim(subject, self.predicate, swap.get(self.value, self.value), self.person)
