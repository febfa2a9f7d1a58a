"""One row for every exported family: rows drawn with numpy from known parameters, and what missing entries mean to it.

Rows are drawn here and not by the families' own ``sample``, so that the cross tests compare two programs. ``gaps`` says what
may be missing, as docs/families.md does: "entries" of a row one by one, "rows" as a whole, the "response" of a regression, or
both "bounds" of a censored value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from estep import families as law

NAN = np.nan


@dataclasses.dataclass(frozen=True)
class Case:
    """A family with the parameters to draw from (in the shapes that users give), and ``draw(labels, rng) -> rows``."""

    name: str
    family: Any
    truth: Mapping[str, Any]
    draw: Callable[[Any, np.random.Generator], Any]
    gaps: str = "entries"
    held: tuple[str, Any] = ("", ())  # a parameter, and the index of an entry to hold
    k: int = 2
    rows: int = 2000
    labelled: float = 0.0  # share of rows whose class is known, where rows alone tell little
    slow: bool = False


def with_gaps(case: Case, x: Any, share: float, rng: np.random.Generator) -> Any:
    """``x`` with a share of what the family lets be missing deleted; the same rows where nothing may be."""
    parts = tuple(np.array(part, dtype=float) for part in (x if isinstance(x, tuple) else (x,)))
    target = parts[1] if isinstance(x, tuple) else parts[0]
    rows = rng.random(len(target)) < share
    if case.gaps == "entries":
        target[rng.random(target.shape) < share] = NAN
    else:
        target[rows] = NAN
    return parts if isinstance(x, tuple) else parts[0]


# --- draws that several families share ---


def design(n: int, rng: np.random.Generator) -> Any:
    return rng.normal(size=(n, 1))


def eta(labels: Any, x: Any) -> Any:
    """Linear predictor of the regressions below."""
    return np.array(INTERCEPTS)[labels] + np.array(COEFS)[labels, 0] * x[:, 0]


def regression(response: Callable[[Any, Any, np.random.Generator], Any]) -> Callable[[Any, np.random.Generator], Any]:
    def draw(labels: Any, rng: np.random.Generator) -> Any:
        x = design(len(labels), rng)
        return x, response(eta(labels, x), labels, rng)

    return draw


def categories(probs: Any, rng: np.random.Generator) -> Any:
    """A level for each vector of probabilities in the last axis."""
    draws = rng.random((*probs.shape[:-1], 1))
    return (draws > probs.cumsum(axis=-1)[..., :-1]).sum(axis=-1).astype(float)


def normal(labels: Any, rng: np.random.Generator) -> Any:
    roots = np.linalg.cholesky(np.array(COVARIANCES))
    return np.array(MEANS)[labels] + np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(len(labels), 2)))


def truncated(labels: Any, rng: np.random.Generator) -> Any:
    out = np.full(len(labels), -1.0)
    while (low := out <= 0).any():
        out[low] = rng.normal(np.array([1.0, 5.0])[labels[low]], 1.0)
    return out[:, None]


def censored(labels: Any, rng: np.random.Generator) -> Any:
    x = rng.normal(np.array([0.0, 4.0])[labels], np.array([1.0, 0.7])[labels])
    return np.column_stack([np.minimum(x, 4.5), np.where(x < 4.5, x, np.inf)])


def directions(labels: Any, rng: np.random.Generator) -> Any:
    """von Mises-Fisher on the sphere in three dimensions, by the inverse of the law of the cosine."""
    kappa, n = np.array([8.0, 3.0])[labels], len(labels)
    cosine = 1.0 + np.log(rng.random(n) * (1.0 - np.exp(-2.0 * kappa)) + np.exp(-2.0 * kappa)) / kappa
    angle, sine = rng.uniform(0.0, 2.0 * np.pi, n), np.sqrt(np.maximum(1.0 - cosine**2, 0.0))
    poles = np.stack([cosine, sine * np.cos(angle), sine * np.sin(angle)], axis=1)  # about the first axis
    return np.where(labels[:, None] == 0, poles, poles[:, [1, 2, 0]])  # about the first, or the third


def with_noise(labels: Any, rng: np.random.Generator) -> Any:
    rows = normal(np.minimum(labels, 1), rng)
    noisy = labels == 2
    rows[noisy] = rng.uniform(-10.0, 10.0, size=(int(noisy.sum()), 2))
    return rows


def student(labels: Any, rng: np.random.Generator) -> Any:
    dofs = np.array([3.0, 6.0])[labels]
    roots = np.linalg.cholesky(np.array(COVARIANCES))
    z = np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(len(labels), 2)))
    return np.array(MEANS)[labels] * 2.0 + z / np.sqrt(rng.chisquare(dofs) / dofs)[:, None]


def factors(labels: Any, rng: np.random.Generator) -> Any:
    scores = rng.normal(size=(len(labels), 1, 1))
    noise = np.sqrt(np.array(UNIQUE))[labels] * rng.normal(size=(len(labels), 4))
    return 3.0 * labels[:, None] + (np.array(LOADINGS)[labels] * scores)[:, :, 0].reshape(len(labels), 4) + noise


def mixed_columns(labels: Any, rng: np.random.Generator) -> Any:
    answers = categories(np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])[labels], rng)
    counts = rng.poisson(np.array([1.0, 6.0])[labels])
    return np.column_stack([normal(labels, rng), counts, answers])


def normal_or_uniform(labels: Any, rng: np.random.Generator) -> Any:
    return np.where(labels == 0, rng.normal(1.0, 0.8, len(labels)), rng.uniform(-8.0, 8.0, len(labels)))[:, None]


def zeros_or_counts(labels: Any, rng: np.random.Generator) -> Any:
    x = design(len(labels), rng)
    counts = rng.poisson(np.exp(0.8 + 0.5 * x[:, 0]))
    return x, np.where(labels == 0, counts, 0).astype(float)


def zero_inflated(labels: Any, rng: np.random.Generator) -> Any:
    counts = rng.poisson(np.array([[2.0, 1.5], [9.0, 6.0]])[labels])
    return np.where(rng.random(counts.shape) < np.array([[0.3, 0.2], [0.1, 0.4]])[labels], 0.0, counts)


def mixed(labels: Any, rng: np.random.Generator) -> Any:
    parts = (rng.random(len(labels)) > np.array([0.7, 0.5])[labels]).astype(int)
    return rng.normal(np.array(PLACES)[labels, parts], 1.0)


PLACES = [[[0.0], [4.0]], [[8.0], [13.0]]]
MEANS = [[0.0, 0.0], [4.0, 2.0]]
COVARIANCES = [[[1.0, 0.4], [0.4, 0.8]], [[1.5, -0.5], [-0.5, 0.9]]]
LOADINGS = [[[1.5], [1.0], [0.8], [0.5]], [[0.9], [1.2], [-0.7], [1.0]]]
UNIQUE = [[0.5, 0.7, 0.6, 0.9], [0.8, 0.4, 0.5, 0.6]]
COEFS, INTERCEPTS = [[1.0], [-0.5]], [0.0, 2.0]
CLASSES = {"coefs": [[[0.0], [1.0], [-1.0]], [[0.0], [-1.0], [0.5]]], "intercepts": [[0.0, 0.5, 0.0], [0.0, -0.5, 1.0]]}
PROBS6 = [[0.9, 0.8, 0.85, 0.7, 0.9, 0.8], [0.2, 0.1, 0.3, 0.25, 0.15, 0.4]]
ANSWERS = [
    [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.8, 0.1, 0.1], [0.5, 0.3, 0.2]],
    [[0.1, 0.2, 0.7], [0.2, 0.2, 0.6], [0.1, 0.5, 0.4], [0.2, 0.1, 0.7]],
]
WORDS = [[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.2, 0.5]]
LINES = {"coefs": COEFS, "intercepts": INTERCEPTS}


def logits_of(labels: Any, x: Any) -> Any:
    raw = np.array(CLASSES["intercepts"])[labels] + np.array(CLASSES["coefs"])[labels, :, 0] * x
    return np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)


def classes(labels: Any, rng: np.random.Generator) -> Any:
    x = design(len(labels), rng)
    return x, categories(logits_of(labels, x), rng)


def at(values: Any, labels: Any) -> Any:
    """The parameters of each row's component."""
    return np.array(values, dtype=float)[labels]


CASES = [
    Case(
        "Bernoulli", law.Bernoulli(), {"probs": PROBS6},
        lambda z, rng: (rng.random((len(z), 6)) < at(PROBS6, z)).astype(float), held=("probs", (0, 1)),
    ),
    Case(
        "Beta", law.Beta(), {"alphas": [[2.0, 6.0], [8.0, 2.0]], "betas": [[6.0, 3.0], [3.0, 5.0]]},
        lambda z, rng: rng.beta(at([[2.0, 6.0], [8.0, 2.0]], z), at([[6.0, 3.0], [3.0, 5.0]], z)), held=("alphas", (0, 1)),
    ),
    Case(
        "Binomial", law.Binomial(8), {"probs": [[0.2, 0.4], [0.7, 0.8]]},
        lambda z, rng: rng.binomial(8, at([[0.2, 0.4], [0.7, 0.8]], z)).astype(float), held=("probs", (0, 1)),
    ),
    Case(
        "Categorical", law.Categorical(), {"probs": ANSWERS}, lambda z, rng: categories(at(ANSWERS, z), rng),
        held=("probs", (0, 1)),
    ),
    Case(
        "Censored", law.Censored(law.Normal("diag")), {"means": [[0.0], [4.0]], "covariances": [[1.0], [0.49]]}, censored,
        gaps="bounds", held=("means", (0, 0)), rows=3000, slow=True,
    ),
    Case(
        "Components", law.Components([law.Normal(), law.Laplace()]),
        {"0.means": [[0.0]], "0.covariances": [[[1.0]]], "1.locations": [[6.0]], "1.scales": [[0.8]]},
        lambda z, rng: np.where(z == 0, rng.normal(0.0, 1.0, len(z)), rng.laplace(6.0, 0.8, len(z)))[:, None],
        held=("0.means", (0, 0)),
    ),
    Case(
        "Dirichlet", law.Dirichlet(), {"alphas": [[6.0, 3.0, 2.0], [2.0, 3.0, 8.0]]},
        lambda z, rng: (g := rng.gamma(at([[6.0, 3.0, 2.0], [2.0, 3.0, 8.0]], z))) / g.sum(axis=1, keepdims=True),
        gaps="entries", held=("alphas", (0, 1)),
    ),
    Case(
        "Exponential", law.Exponential(), {"rates": [[2.0, 1.5, 3.0], [0.2, 0.3, 0.4]]},
        lambda z, rng: rng.exponential(1.0 / at([[2.0, 1.5, 3.0], [0.2, 0.3, 0.4]], z)), held=("rates", (0, 1)),
    ),
    Case(
        "FactorNormal", law.FactorNormal(1),
        {"means": [[0.0] * 4, [3.0] * 4], "loadings": LOADINGS, "uniquenesses": UNIQUE}, factors,
        held=("means", (0, 1)), rows=3000, slow=True,
    ),
    Case(
        "Gamma", law.Gamma(), {"shapes": [[3.0, 2.0], [9.0, 12.0]], "rates": [[3.0, 1.0], [2.0, 2.0]]},
        lambda z, rng: rng.gamma(at([[3.0, 2.0], [9.0, 12.0]], z), 1.0 / at([[3.0, 1.0], [2.0, 2.0]], z)),
        held=("shapes", (0, 1)),
    ),
    Case(
        "GammaRegression", law.GammaRegression(), {**LINES, "shapes": [5.0, 8.0]},
        regression(lambda mean, z, rng: rng.gamma(at([5.0, 8.0], z), np.exp(mean) / at([5.0, 8.0], z))),
        gaps="response", held=("coefs", (0, 0)), slow=True,
    ),
    Case(
        "Geometric", law.Geometric(), {"probs": [[0.7, 0.8, 0.6], [0.1, 0.2, 0.15]]},
        lambda z, rng: rng.geometric(at([[0.7, 0.8, 0.6], [0.1, 0.2, 0.15]], z)) - 1.0, held=("probs", (0, 1)),
    ),
    Case(
        "InverseGaussian", law.InverseGaussian(), {"means": [[1.0, 2.0], [4.0, 5.0]], "shapes": [[5.0, 8.0], [20.0, 30.0]]},
        lambda z, rng: rng.wald(at([[1.0, 2.0], [4.0, 5.0]], z), at([[5.0, 8.0], [20.0, 30.0]], z)), held=("means", (0, 1)),
    ),
    Case(
        "Laplace", law.Laplace(), {"locations": [[0.0, 0.0], [5.0, 3.0]], "scales": [[1.0, 0.5], [0.8, 1.2]]},
        lambda z, rng: rng.laplace(at([[0.0, 0.0], [5.0, 3.0]], z), at([[1.0, 0.5], [0.8, 1.2]], z)),
        held=("locations", (0, 1)), slow=True,
    ),
    Case(
        "LinearRegression", law.LinearRegression(), {**LINES, "scales": [0.4, 0.3]},
        regression(lambda mean, z, rng: rng.normal(mean, at([0.4, 0.3], z))), gaps="response", held=("coefs", (0, 0)),
    ),
    Case(
        "LogNormal", law.LogNormal(), {"means": [[0.0, 1.0], [2.0, 3.0]], "variances": [[0.3, 0.2], [0.2, 0.4]]},
        lambda z, rng: np.exp(rng.normal(at([[0.0, 1.0], [2.0, 3.0]], z), np.sqrt(at([[0.3, 0.2], [0.2, 0.4]], z)))),
        held=("means", (0, 1)),
    ),
    Case(
        "LogisticRegression", law.LogisticRegression(), LINES,
        regression(lambda mean, z, rng: np.stack([y := rng.binomial(12, 1.0 / (1.0 + np.exp(-mean))), 12 - y], axis=1)),
        gaps="response", held=("coefs", (0, 0)), slow=True,
    ),
    Case(
        "Mixed", law.Mixed(law.Normal("V"), 2),
        {"means": PLACES, "covariances": np.ones((2, 2, 1, 1)), "mix_weights": [[0.7, 0.3], [0.5, 0.5]]}, mixed,
        held=("means", (0, 0, 0)), labelled=0.5,
    ),
    Case(
        "Multinomial", law.Multinomial(), {"probs": WORDS}, lambda z, rng: rng.multinomial(12, at(WORDS, z)).astype(float),
        gaps="rows", held=("probs", (0, 1)),
    ),
    Case(
        "MultinomialRegression", law.MultinomialRegression(3), CLASSES, classes,
        gaps="response", held=("coefs", (0, 1, 0)), rows=3000, labelled=0.5, slow=True,
    ),
    Case(
        "NegativeBinomial", law.NegativeBinomial(), {"means": [[2.0, 3.0], [15.0, 20.0]], "sizes": [[3.0, 4.0], [5.0, 8.0]]},
        lambda z, rng: rng.poisson(
            rng.gamma(s := at([[3.0, 4.0], [5.0, 8.0]], z), at([[2.0, 3.0], [15.0, 20.0]], z) / s)
        ).astype(float),
        held=("means", (0, 1)), slow=True,
    ),
    Case("Normal", law.Normal(), {"means": MEANS, "covariances": COVARIANCES}, normal, held=("means", (0, 1))),
    Case(
        "Poisson", law.Poisson(), {"rates": [[1.0, 2.0], [5.0, 8.0]]},
        lambda z, rng: rng.poisson(at([[1.0, 2.0], [5.0, 8.0]], z)).astype(float), held=("rates", (0, 1)),
    ),
    Case(
        "PoissonRegression", law.PoissonRegression(), LINES,
        regression(lambda mean, z, rng: rng.poisson(np.exp(mean)).astype(float)), gaps="response", held=("coefs", (0, 0)),
        slow=True,
    ),
    Case(
        "Product",
        law.Product([(law.Normal(), [0, 1], "place"), (law.Poisson(), [2], "visits"), (law.Categorical(), [3], "answer")]),
        {
            "place.means": MEANS, "place.covariances": COVARIANCES, "visits.rates": [[1.0], [6.0]],
            "answer.probs": [[[0.7, 0.2, 0.1]], [[0.1, 0.3, 0.6]]],
        },
        mixed_columns, held=("visits.rates", (0, 0)),
    ),
    Case(
        "Student", law.Student(), {"means": [[0.0, 0.0], [8.0, 4.0]], "scales": COVARIANCES, "dofs": [3.0, 6.0]}, student,
        held=("means", (0, 1)), rows=3000, slow=True,
    ),
    Case(
        "Truncated", law.Truncated(law.Normal(), low=0.0), {"means": [[1.0], [5.0]], "covariances": [[[1.0]], [[1.0]]]},
        truncated, held=("means", (1, 0)), rows=3000, slow=True,
    ),
    Case(
        "Uniform", law.Components([law.Normal(), law.Uniform(-8.0, 8.0)]), {"0.means": [[1.0]], "0.covariances": [[[0.64]]]},
        normal_or_uniform, held=("0.means", (0, 0)),
    ),
    Case(
        "VonMises", law.VonMises(), {"means": [[0.0, 3.0], [2.0, 1.0]], "concentrations": [[4.0, 3.0], [6.0, 2.0]]},
        lambda z, rng: rng.vonmises(at([[0.0, 3.0], [2.0, 1.0]], z), at([[4.0, 3.0], [6.0, 2.0]], z)), held=("means", (0, 1)),
    ),
    Case(
        "VonMisesFisher", law.VonMisesFisher(),
        {"means": [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], "concentrations": [8.0, 3.0]}, directions,
        gaps="rows", held=("concentrations", (0,)),
    ),
    Case(
        "Weibull", law.Weibull(), {"shapes": [[2.0, 1.5], [4.0, 5.0]], "scales": [[1.0, 2.0], [5.0, 8.0]]},
        lambda z, rng: at([[1.0, 2.0], [5.0, 8.0]], z) * rng.weibull(at([[2.0, 1.5], [4.0, 5.0]], z)),
        held=("scales", (0, 1)), slow=True,
    ),
    Case(
        "WithNoise", law.WithNoise(law.Normal(), 1.0 / 400.0), {"means": MEANS, "covariances": COVARIANCES}, with_noise,
        held=("means", (0, 1)), k=3,
    ),
    Case(
        "ZeroInflated", law.ZeroInflated(law.Poisson()),
        {"rates": [[2.0, 1.5], [9.0, 6.0]], "inflations": [[0.3, 0.2], [0.1, 0.4]]}, zero_inflated, held=("rates", (0, 1)),
    ),
    Case(
        "ZeroResponse", law.Components([law.PoissonRegression(), law.ZeroResponse()]),
        {"0.coefs": [[0.5]], "0.intercepts": [0.8]}, zeros_or_counts, gaps="response", held=("0.coefs", (0, 0)), slow=True,
    ),
]  # fmt: skip
