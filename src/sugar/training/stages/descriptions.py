"""Which of a class's descriptions the LLM learns to say, and which are kept to judge what it says."""

from sugar.knowledge.pack import ClassKnowledge


def training_descriptions(entry: ClassKnowledge, held_out: int) -> tuple[str, ...]:
    """The descriptions that the LLM learns from: all but the last ``held_out``, and at least one."""
    return entry.descriptions[: max(1, len(entry.descriptions) - held_out)]


def reference_descriptions(entry: ClassKnowledge, held_out: int) -> tuple[str, ...]:
    """The others; all where none is held out."""
    return entry.descriptions[max(1, len(entry.descriptions) - held_out) :] or entry.descriptions
