"""What a diagnosis found: findings in order of weight, each with evidence and a remedy; what was checked and what not."""

from __future__ import annotations

import dataclasses
import enum
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 100


class Severity(enum.IntEnum):
    """How much a finding weighs: SERIOUS, the numbers are no estimates; WARNING, some may mislead; NOTE, good to know."""

    SERIOUS = 0
    WARNING = 1
    NOTE = 2


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes
    ----------
    kind : str
        A name that stays the same: "not_converged", "slow", "outliers", ...
    severity : Severity
    title, evidence, remedy : str
        In plain words: what it is, by which numbers, and what to do.
    numbers : mapping
        The numbers of the evidence.

    Examples
    --------
    >>> print(Finding("slow", Severity.NOTE, "EM creeps", "the rate is 0.999", "accelerate", {"rate": 0.999}))
    note: EM creeps
      the rate is 0.999.
      -> accelerate.
    """

    kind: str
    severity: Severity
    title: str
    evidence: str
    remedy: str
    numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.severity.name.lower()}: {self.title}"]
        lines += _wrapped(f"{self.evidence}.", "  ") + _wrapped(f"{self.remedy}.", "  -> ")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """The findings of a fit, the weightiest first: a sequence of ``Finding``, and a text to print.

    Attributes
    ----------
    findings : tuple of Finding
    checked : tuple of str
        What was looked at.
    skipped : tuple of (str, str)
        What was not, and why.

    Examples
    --------
    >>> print(Diagnosis((), ("convergence", "outlying rows"), ()))
    Nothing was found. Checked: convergence, outlying rows.
    """

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __getitem__(self, i: int) -> Finding:
        return self.findings[i]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the findings."""
        return tuple(finding.kind for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Whether nothing was found but notes."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)

    def of(self, kind: str) -> Finding:
        """The finding of a kind; raises KeyError where there is none."""
        for finding in self.findings:
            if finding.kind == kind:
                return finding
        raise KeyError(f"no finding {kind!r}; there are {[*self.kinds]}")

    def __str__(self) -> str:
        blocks = [str(finding) for finding in self.findings]
        said = "Checked" if blocks else "Nothing was found. Checked"
        blocks.append("\n".join(_wrapped(f"{said}: {', '.join(self.checked) or 'nothing'}.", "")))
        blocks += ["\n".join(_wrapped(f"Not checked: {what}, because {why}.", "")) for what, why in self.skipped]
        return "\n".join("\n\n".join(blocks[: len(self.findings) + 1]).split("\n") + blocks[len(self.findings) + 1 :])


def ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    """The weightiest first, else as they were found."""
    return tuple(sorted(findings, key=lambda finding: finding.severity))


def _wrapped(text: str, first: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False)
