"""What a job of questions tells: its numbers, and a bar while it runs."""

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Summary:
    """A job in numbers; they grow while it runs. One summary may be given to several runs, and counts them all.

    Attributes:
        total: how many requests there will be; None: not known.
        asked: questions sent, every retry and repair among them.
        from_journal: requests that the journal had an answer or a failure for, and repeated ones.
        answered, failed: requests that were asked about in this run.
        repaired: questions sent because a reply was not of the asked shape.
        retried: questions sent again because the server could not answer.
        tokens_in, tokens_out, cost: of this run.
        spent: ``cost``, and what the entries from the journal cost when they were asked for.
        seconds: how long it has taken.
        left: requests without an outcome because ``max_cost`` was reached.
    """

    total: int | None = None
    asked: int = 0
    from_journal: int = 0
    answered: int = 0
    failed: int = 0
    repaired: int = 0
    retried: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    spent: float = 0.0
    seconds: float = 0.0
    left: int = 0

    @property
    def done(self) -> int:
        """Requests with an outcome."""
        return self.from_journal + self.answered + self.failed

    def text(self) -> str:
        """All of it in one line."""
        tokens = self.tokens_in + self.tokens_out
        told = (
            f"{self.done:,} requests: {self.from_journal:,} from the journal, {self.answered:,} answered, "
            f"{self.failed:,} failed; {self.asked:,} questions ({self.retried:,} retried, {self.repaired:,} repairs), "
            f"{tokens:,} tokens, cost {self.cost:,.2f}, {self.seconds:,.1f} s"
        )
        if not self.left:
            return told
        return f"{told}; stopped at max_cost ({self.spent:,.2f} spent), {self.left:,} left: a larger max_cost goes on"


class AskingProgress:
    """A bar on the terminal with rate, tokens, cost and failures, for ``with``; nothing where there is no terminal."""

    def __init__(self, total: int | None = None, console: "Console | None" = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("asking"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, note="")

    def __enter__(self) -> "AskingProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, summary: Summary) -> None:
        """Show where the job is."""
        if not self._bar.disable:
            self._bar.update(self._task, completed=summary.done, note=note(summary))


def note(summary: Summary) -> str:
    """Rate, tokens, cost and failures, in few words."""
    rate = (summary.answered + summary.failed) / summary.seconds if summary.seconds else 0.0
    parts = [f"{rate:,.1f}/s", f"{summary.tokens_in + summary.tokens_out:,} tokens"]
    if summary.spent:
        parts.append(f"cost {summary.spent:,.2f}")
    return ", ".join([*parts, f"{summary.failed} failed"])
