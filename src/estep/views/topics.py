"""The summary of fitted topics as text: the facts of the fit, and each topic's weight and first words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from estep.core.record import Array
from estep.core.result import Result
from estep.views.layout import facts, number


def topics_text(result: Result, weights: Array, words: Sequence[Sequence[str]]) -> str:
    """Fitted topics as text: sizes, likelihood, perplexity, how it ended, the first words of every topic."""
    model = result.model
    told = [
        ("documents", str(model.n_documents)),
        ("words", str(model.n_words)),
        ("tokens", number(result.n, 0)),
        ("log-likelihood", number(result.loglik)),
        ("perplexity", number(float(np.exp(-result.loglik / result.n)))),
        ("objective", "" if model.prior is None else f"{number(result.objective)} (log-likelihood plus log prior)"),
        ("status", result.message),
        ("passes", str(result.passes)),
        ("algorithm", result.variant),
    ]
    topics = [(f"{k} ({number(float(w), 3)})", ", ".join(some)) for k, (w, some) in enumerate(zip(weights, words, strict=True))]
    return "\n".join(
        [
            f"Probabilistic latent semantic analysis, {model.k} topics",
            "",
            *facts(told),
            "",
            "Topics (share of tokens)",
            *facts(topics),
        ]
    )
