"""A fitted profile as text: facts of the run, and every node's letter and moves."""

from __future__ import annotations

from typing import Any

from estep.data.meme import information
from estep.views.layout import Row, facts, number, table

MOST = 60


def profile_text(estimator: Any) -> str:
    """Facts and a line for each node: the most probable letter, bits, moves from its match state."""
    result = estimator.result_
    told = [
        ("nodes", str(estimator.length_)),
        ("letters", f"{result.n:g} of {estimator.alphabet_.name}"),
        ("consensus", estimator.consensus_),
        ("log-likelihood", number(result.loglik)),
        ("objective", "" if result.model.prior is None else f"{number(result.objective)} (log-likelihood plus log prior)"),
        ("free parameters", str(result.n_free)),
        ("status", result.message),
        ("algorithm", result.variant),
    ]
    bits = information(estimator.match_, estimator.insert_.mean(axis=0))
    rows = []
    for j, probs in enumerate(estimator.match_[:MOST]):
        match, insert, delete = estimator.moves_[j + 1, 0]
        letter = f"{estimator.letters_[int(probs.argmax())]} {probs.max():.2f}"
        rows.append(Row(str(j + 1), [letter, f"{bits[j]:.2f}", f"{match:.2f}", f"{insert:.2f}", f"{delete:.2f}"]))
    more = [f"... and {estimator.length_ - MOST} more"] if estimator.length_ > MOST else []
    lines = table("node", ["letter", "bits", "to match", "to insert", "to delete"], rows, width=10_000)
    return "\n".join(["Profile hidden Markov model", "", *facts([f for f in told if f[1]]), "", *lines, *more])
