"""The guard of zero-shot training (docs/design.md, D14): nothing of an unseen class may reach training or selection."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sugar.knowledge.pack import KnowledgePack


class UnseenLeak(RuntimeError):  # noqa: N818
    """A clip, a text or a name of an unseen class was about to be trained on: an error of ours, not of the user's."""


@dataclass(frozen=True)
class UnseenGuard:
    """Knows the unseen classes and refuses whatever is of them.

    Args:
        names: keys of their names.
        texts: keys of the texts that the knowledge pack has of them.
    """

    names: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()

    @classmethod
    def from_pack(cls, unseen: Sequence[str], seen: Sequence[str], pack: KnowledgePack) -> "UnseenGuard":
        """The guard of the ``unseen`` classes; a motion sentence that a ``seen`` one shares is no leak."""
        new = [pack[name] for name in unseen if name in pack]
        shared = {_key(text) for name in seen if name in pack for text in pack[name].motion_sentences}
        own = {_key(text) for entry in new for text in (*entry.motion, *entry.visual, *entry.descriptions)}
        told = {_key(text) for entry in new for text in entry.motion_sentences}
        return cls(frozenset(map(_key, unseen)), frozenset(own | (told - shared)))

    def check_names(self, where: str, names: Iterable[str]) -> None:
        """Labels of clips, names in a prompt, classes of a bank.

        Raises:
            UnseenLeak: one is the name of an unseen class.
        """
        for name in dict.fromkeys(names) if self.names else ():
            if _key(name) in self.names:
                raise UnseenLeak(f"{where}: the unseen class {name!r} would be trained on")

    def check_texts(self, where: str, texts: Iterable[str]) -> None:
        """Texts of any kind.

        Raises:
            UnseenLeak: one is a text of an unseen class, is its bare name, or opens by naming it.
        """
        for text in texts if self.names else ():
            key = _key(text)
            opening = re.match(r"an action of ([^:]+)", key)
            if key in self.texts or key in self.names or (opening and opening[1].strip(" {}") in self.names):
                raise UnseenLeak(f"{where}: a text of an unseen class would be trained on: {text[:80]!r}")


def _key(text: str) -> str:
    """Case, spaces and marks at the ends aside."""
    return " ".join(text.casefold().split()).strip(" .,;:!?{}\"'")
