"""How checks of a data set say what they found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong.

    Args:
        where: clip, class or store.
        what: what is wrong.
        mend: what to do about it.
    """

    where: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.mend}"
