"""What a drill has tried and found, and the file that it is written to."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relational_rnn.files import write_text

SHOWN = 50
"""Failures of a row that are described; all are counted."""


@dataclass
class Row:
    """One line of a drill's table.

    Attributes:
        what: what is drilled.
        tries: how often it was tried.
        outcomes: how often each outcome occurred; one try may have several.
        failures: one line about each try that went wrong.
        figures: measured values, for example of memory.
    """

    what: str
    tries: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def fail(self, where: str, reason: str) -> None:
        """Record a failure.

        Args:
            where: which try, so that it can be repeated.
            reason: what went wrong.
        """
        self.failures.append(f"{where}: {reason}")

    def __str__(self) -> str:
        found = [f"{count:,} {name}" for name, count in sorted(self.outcomes.items())]
        found += [f"{name} {value:,.4g}" for name, value in self.figures.items()]
        return (
            f"{self.what}: {self.tries:,} tries, {len(self.failures):,} failures"
            f"{' (' if found else ''}{', '.join(found)}{')' if found else ''}"
        )

    def as_plain(self) -> dict[str, Any]:
        """The row as JSON."""
        return {
            "what": self.what,
            "tries": self.tries,
            "failures": len(self.failures),
            "outcomes": dict(sorted(self.outcomes.items())),
            "figures": self.figures,
            "failed": self.failures[:SHOWN],
        }


def write(path: Path, rows: list[Row], about: dict[str, Any]) -> None:
    """Write the rows of a drill as JSON.

    Args:
        path: the file; its folder is created.
        rows: the rows.
        about: name, round, seed, duration and machine.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {**about, "rows": [row.as_plain() for row in rows]}
    write_text(path, json.dumps(content, indent=2) + "\n")
