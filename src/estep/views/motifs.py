"""Motifs and profiles as text: how the search ended, letters, information, sites."""

from __future__ import annotations

from typing import Any

from estep.core.record import Array
from estep.views.layout import Row, facts, number, table

FEW = 12


def motifs_text(estimator: Any) -> str:
    """A fitted motif search as text: facts of the run, every motif's columns and its first sites."""
    result = estimator.result_
    motifs = getattr(estimator, "motifs_", ())
    told = [
        ("sites", result.model.sites.title + (", on both strands" if result.model.both_strands else "")),
        ("letters", f"{result.n:g} of {estimator.alphabet_.name}"),
        ("width", _widths(estimator)),
        ("log-likelihood", number(result.loglik)),
        ("objective", "" if result.model.prior is None else f"{number(result.objective)} (log-likelihood plus log prior)"),
        ("free parameters", str(result.n_free)),
        ("status", result.message),
        ("certificate", result.certificate),
        ("algorithm", result.variant),
    ]
    lines = [_title(estimator), "", *facts([(label, words) for label, words in told if words])]
    if not motifs:
        lines += ["", *columns_text(estimator.pwm_, estimator.letters_, estimator.column_information_)]
    for found in motifs:
        head = f"{found.pwm.name.replace('_', ' ')}: {found.pwm.consensus}, {found.pwm.information.sum():.2f} bits"
        chance = "" if found.significance is None else f", E-value {found.significance}"
        lines += ["", f"{head}, {found.n_sites:.1f} sites expected, BIC {number(found.bic)}{chance}"]
        lines += columns_text(found.pwm.probs, found.pwm.alphabet.letters, found.pwm.information)
        shown = str(found.sites).split("\n")
        lines += ["", *shown[: FEW + 1], *([f"... {len(found.sites)} sites in all"] if len(found.sites) > FEW else [])]
    return "\n".join(lines)


def _title(estimator: Any) -> str:
    count, model = len(getattr(estimator, "motifs_", (1,))), estimator.result_.model
    kind = "palindromic motif" if model.palindrome else "motif"
    return f"{count} {kind}{'s' if count != 1 else ''} in sequences"


def _widths(estimator: Any) -> str:
    tried = getattr(estimator, "widths_", ())
    among = f", the best of {len(tried)} by {estimator.criterion.upper()}" if len(tried) > 1 else ""
    return f"{estimator.width_}{among}"


def columns_text(probs: Array, letters: tuple[str, ...], bits: Array) -> list[str]:
    """A line for each column: letter probabilities and bits."""
    rows = [Row(str(w + 1), [*(f"{p:.2f}" for p in column), f"{bits[w]:.2f}"]) for w, column in enumerate(probs)]
    return table("column", [*letters, "bits"], rows, width=10_000)
