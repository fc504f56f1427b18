"""How checks of a data set say what they found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong.

    Args:
        where: clip, class or store.
        what: what is wrong.
        fix: what to do about it.
    """

    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.fix}"
