"""Families by words: the names by which tables, settings and the command line call them."""

from __future__ import annotations

import difflib
from typing import Any

WORDS: dict[str, str] = {
    "bernoulli": "Bernoulli",
    "beta": "Beta",
    "binary": "Bernoulli",
    "categorical": "Categorical",
    "exponential": "Exponential",
    "gamma": "Gamma",
    "gaussian": "Normal",
    "geometric": "Geometric",
    "inversegaussian": "InverseGaussian",
    "laplace": "Laplace",
    "lognormal": "LogNormal",
    "negativebinomial": "NegativeBinomial",
    "nominal": "Categorical",
    "normal": "Normal",
    "poisson": "Poisson",
    "student": "Student",
    "vonmises": "VonMises",
    "weibull": "Weibull",
}
"""Word -> class in ``estep.families``; families that need settings of their own (trials, inner families) have no word."""


def class_called(word: str) -> str:
    """The name of the class that ``word`` calls, whatever its case, hyphens and underscores; raises ValueError.

    >>> class_called("negative_binomial"), class_called("Poisson")
    ('NegativeBinomial', 'Poisson')
    """
    key = "".join(letter for letter in str(word).lower() if letter.isalnum())
    if key in WORDS:
        return WORDS[key]
    near = difflib.get_close_matches(key, WORDS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"there is no family called {word!r}; {hint}there are {', '.join(WORDS)}")


def family_called(word: Any) -> Any:
    """A new family that ``word`` calls; a family is returned as it is. Raises ValueError on an unknown word.

    >>> family_called("poisson").names
    ('rates',)
    """
    if not isinstance(word, str):
        return word
    from estep import families

    return getattr(families, class_called(word))()
