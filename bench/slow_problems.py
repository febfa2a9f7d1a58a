"""The fixed suite of slow problems: models whose components, classes, states or factors are hard to tell apart.

Plain EM needs hundreds to tens of thousands of passes on them. Every problem draws its rows from its own truth with a fixed
seed and begins at places that an ordinary user's starts would give: an M-step from noisy classes (start 0 is the least noisy).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

DEATHS = np.array([162, 267, 271, 185, 111, 61, 27, 8, 3, 1])
"""Days with 0..9 deaths of women over 80 in London (Hasselblad 1969, J. Amer. Statist. Assoc. 64:1459)."""


@dataclasses.dataclass(frozen=True)
class Slow:
    """A model bound to rows, ``n`` in all, and ``start(i)``: where run i begins. ``kind`` groups problems in tables."""

    name: str
    kind: str
    model: Any
    data: Any
    n: float
    start: Callable[[int], Any]


def problems(quick: bool = False) -> Iterator[Slow]:
    """The suite; with ``quick`` a tenth of the rows."""
    m = 10 if quick else 1
    yield hasselblad()
    for d, k, distance in ((2, 3, 1.3), (4, 2, 1.1), (8, 2, 1.0)):
        yield gaussians(20_000 // m, d, k, distance)
    yield poissons(20_000 // m, (1.0, 3.0), (0.4, 0.6))
    yield poissons(20_000 // m, (1.0, 3.0, 7.0), (0.3, 0.4, 0.3))
    yield classes(20_000 // m, 6, 2, 0.25)
    yield classes(20_000 // m, 10, 3, 0.15)
    yield chain(100 // m, 200, 2, 0.7, 0.8)
    yield chain(100 // m, 200, 3, 1.2, 0.8)
    yield factors(2_000 // m, 9, 2, 0.5)
    yield factors(2_000 // m, 12, 3, 0.4)


def hasselblad() -> Slow:
    """Two Poisson rates in Hasselblad's counts, from weights (.3, .7) and rates (1, 2.5), where he began."""
    from estep.families.poisson import Poisson, PoissonParams
    from estep.models.latent import LatentParams
    from estep.structures.iid import IidParams

    begin = LatentParams(IidParams(np.array([0.3, 0.7])), PoissonParams(np.array([[1.0], [2.5]])))
    counts = np.arange(10.0)[:, None]

    def start(i: int) -> Any:
        if i == 0:
            return begin
        rng = np.random.default_rng(i)
        share = rng.uniform(0.1, 0.9)
        rates = np.sort(rng.uniform(0.2, 5.0, 2))[:, None]
        return LatentParams(IidParams(np.array([share, 1.0 - share])), PoissonParams(rates))

    return _bound("deaths, 2 rates", "Poisson", Poisson(), 2, counts, start, weight=DEATHS.astype(float))


def gaussians(n: int, d: int, k: int, distance: float) -> Slow:
    """``k`` normals with unequal covariances whose means are about ``distance`` standard deviations apart."""
    from estep.families.normal import Normal

    rng = np.random.default_rng([d, k])
    means = np.zeros((k, d))
    means[np.arange(k), np.arange(k) % d] = distance * (1 + np.arange(k) // d)
    scale = np.stack([np.diag(rng.uniform(0.7, 1.4, d)) for _ in range(k)])
    labels = rng.integers(k, size=n)
    x = means[labels] + np.einsum("nij,nj->ni", scale[labels], rng.normal(size=(n, d)))
    return _bound(f"normals, d={d} k={k}", "normal", Normal("VVV"), k, x, labels)


def poissons(n: int, rates: tuple[float, ...], weights: tuple[float, ...]) -> Slow:
    """Counts from several Poisson rates, one of each value with its weight."""
    from estep.families.poisson import Poisson

    rng = np.random.default_rng([5, len(rates)])
    drawn = rng.poisson(np.array(rates)[rng.choice(len(rates), size=n, p=weights)])
    values, times = np.unique(drawn, return_counts=True)
    labels = np.searchsorted(np.array(rates)[:-1] + np.diff(rates) / 2, values)
    return _bound(
        f"counts, {len(rates)} rates", "Poisson", Poisson(), len(rates), values[:, None].astype(float), labels,
        weight=times.astype(float),
    )  # fmt: skip


def classes(n: int, items: int, k: int, contrast: float) -> Slow:
    """Latent classes with yes-or-no items whose probabilities differ by about ``contrast`` from a half."""
    from estep.families.bernoulli import Bernoulli

    rng = np.random.default_rng([items, k])
    probs = 0.5 + contrast * rng.choice([-1.0, 1.0], size=(k, items)) * rng.uniform(0.6, 1.4, size=(k, items))
    labels = rng.integers(k, size=n)
    x = (rng.random((n, items)) < probs[labels]).astype(float)
    patterns, first, times = np.unique(x, axis=0, return_index=True, return_counts=True)
    name = f"latent classes, {items} items k={k}"
    return _bound(name, "latent class", Bernoulli(), k, patterns, labels[first], weight=times.astype(float))


def chain(sequences: int, length: int, k: int, distance: float, stay: float) -> Slow:
    """Hidden Markov chains of normal states ``distance`` apart that are left with probability ``1 - stay``."""
    from estep.families.normal import Normal
    from estep.structures.chain import Chain

    rng = np.random.default_rng([length, k])
    n = sequences * length
    labels = np.empty(n, dtype=int)
    for t in range(n):
        moved = t % length == 0 or rng.random() > stay
        labels[t] = rng.integers(k) if moved else labels[t - 1]
    x = (distance * labels + rng.normal(size=n))[:, None]
    ends = np.arange(length, n + 1, length)
    return _bound(f"chains, k={k}", "HMM", Normal("VVV"), k, x, labels, structure=Chain(), ends=ends)


def factors(n: int, d: int, q: int, size: float) -> Slow:
    """Factor analysis with weak loadings, about ``size`` of a standard deviation."""
    from estep.families.factor_normal import FactorNormal
    from estep.families.factor_stats import FactorParams
    from estep.models.latent import LatentParams
    from estep.structures.iid import IidParams

    rng = np.random.default_rng([d, q])
    loadings = size * rng.choice([-1.0, 1.0], size=(d, q)) * rng.uniform(0.3, 1.5, size=(d, q))
    x = rng.normal(size=(n, q)) @ loadings.T + rng.normal(size=(n, d)) * np.sqrt(rng.uniform(0.5, 1.5, d))

    def start(i: int) -> Any:
        draw = np.random.default_rng([i, 9])
        begun = loadings + 0.3 * draw.normal(size=(d, q)) if i == 0 else 0.5 * draw.normal(size=(d, q))
        return LatentParams(IidParams(np.ones(1)), FactorParams(x.mean(axis=0)[None], begun[None], x.var(axis=0)[None]))

    return _bound(f"factors, d={d} q={q}", "factors", FactorNormal(q), 1, x, start)


def _bound(name: str, kind: str, family: Any, k: int, x: Any, begin: Any, structure: Any = None, **carried: Any) -> Slow:
    """The problem with its model bound; ``begin`` makes starts, or is the labels that noisy starts come from."""
    from estep.data.memory import Memory
    from estep.models.latent import Latent
    from estep.structures.iid import Iid

    data = Memory(np.asarray(x, dtype=float), n_jobs=1, **carried)
    model = Latent(structure or Iid(), family, k).bind(data)
    weight = carried.get("weight")
    n = float(len(x) if weight is None else weight.sum())
    start = begin if callable(begin) else lambda i: _noisy(model, data, begin, i)
    return Slow(name, kind, model, data, n, start)


def _noisy(model: Any, data: Any, labels: Any, i: int) -> Any:
    """An M-step from the true classes mixed with random ones: half and half for i = 0, then ever less true."""
    rng, k = np.random.default_rng([i, 3]), model.k
    truth = np.eye(k)[labels]
    share = 0.5 if i == 0 else max(0.4 - 0.02 * i, 0.05)
    resp = share * truth + (1.0 - share) * rng.dirichlet(np.full(k, 0.3), size=len(labels))
    neutral = model.start()
    return model.mstep(data.sum(lambda chunk: model.tally(neutral, chunk, resp[chunk.rows])), neutral)
