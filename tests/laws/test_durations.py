"""Laws of durations: tables, and fits to segments some of which were cut short, against scipy and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from estep import families
from estep.core.support import Constraints
from estep.families.categorical import CategoricalParams
from estep.families.poisson import PoissonParams
from estep.structures.durations import DurationCounts, DurationLaw


def test_tables_are_scipys() -> None:
    params = PoissonParams(np.array([[3.0], [40.0]]))
    shares, tails = DurationLaw(families.Poisson()).bound(50).tables(params, 30)
    d = np.arange(1, 31)
    for j, rate in enumerate((3.0, 40.0)):
        np.testing.assert_allclose(shares[j], stats.poisson.logpmf(d - 1, rate), rtol=1e-12)
        np.testing.assert_allclose(tails[j], stats.poisson.logsf(d - 2, rate), rtol=1e-9, atol=1e-13)
    capped, over = DurationLaw(families.Poisson(), 30).bound(50).tables(params, 30)
    np.testing.assert_allclose(np.exp(capped).sum(axis=1), 1.0, rtol=1e-13)
    np.testing.assert_allclose(over[:, 0], 0.0, atol=1e-13)


def test_a_planted_bug_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: durations one too long are no longer scipy's."""
    real = DurationLaw.shares
    monkeypatch.setattr(DurationLaw, "shares", lambda self, params, a, z: real(self, params, a + 1, z + 1))
    with pytest.raises(AssertionError):
        test_tables_are_scipys()


def lengths_seen(seed: int = 0) -> DurationCounts:
    """Segments of 300 Poisson and 300 geometric durations, cut short at 4 to 12 rows."""
    rng = np.random.default_rng(seed)
    ended, running = np.zeros((2, 40)), np.zeros((2, 40))
    for j, drawn in enumerate((rng.poisson(6.0, 300) + 1, rng.geometric(0.15, 300))):
        cut = rng.integers(4, 13, 300)
        for d, c in zip(drawn, cut, strict=True):
            (ended if d < c else running)[j, min(d, c) - 1] += 1
    return DurationCounts(ended, running)


def test_poisson_durations_by_scipy() -> None:
    """The maximum of the censored likelihood, found without this library."""
    counts, law = lengths_seen(), DurationLaw(families.Poisson()).bound(40)
    params = law.family.start(2)
    found = law.fit(counts, params, law.family.support(params, Constraints()))
    d = np.arange(1, 41)
    for j in range(2):

        def loss(rate: float, j: int = j) -> float:
            return -float(
                counts.ended[j] @ stats.poisson.logpmf(d - 1, rate) + counts.running[j] @ stats.poisson.logsf(d - 2, rate)
            )

        best = optimize.minimize_scalar(loss, bounds=(0.1, 40.0), method="bounded", options={"xatol": 1e-10})
        assert found.rates[j, 0] == pytest.approx(best.x, rel=1e-6)
        assert law.q(found, counts) > law.q(params, counts)


def test_capped_poisson_durations_by_scipy() -> None:
    counts = DurationCounts(lengths_seen().ended[:, :12], lengths_seen().running[:, :12])
    law = DurationLaw(families.Poisson(), 12).bound(40)
    params = law.family.start(2)
    found, d = law.fit(counts, params, law.family.support(params, Constraints())), np.arange(1, 13)

    def loss(rate: float) -> float:
        logs = stats.poisson.logpmf(d - 1, rate)
        logs = logs - np.logaddexp.reduce(logs)
        tails = np.logaddexp.accumulate(logs[::-1])[::-1]
        return -float(counts.ended[0] @ logs + counts.running[0] @ tails)

    best = optimize.minimize_scalar(loss, bounds=(0.1, 40.0), method="bounded", options={"xatol": 1e-10})
    assert found.rates[0, 0] == pytest.approx(best.x, rel=1e-6)


def test_geometric_durations_are_events_over_exposure() -> None:
    counts, law = lengths_seen(), DurationLaw(families.Geometric()).bound(40)
    params = law.family.start(2)
    found, d = law.fit(counts, params, law.family.support(params, Constraints())), np.arange(1, 41)
    trials = counts.ended @ d + counts.running @ (d - 1.0)
    np.testing.assert_allclose(found.probs[:, 0], counts.ended.sum(axis=1) / trials, rtol=1e-13)


def test_nonparametric_durations_are_kaplan_and_meiers() -> None:
    counts, law = lengths_seen(), DurationLaw(families.Categorical((40,))).bound(40)
    params = law.family.start(2)
    found, survivors = law.fit(counts, params, law.family.support(params, Constraints())), 1.0
    for d in range(1, 13):
        exposed = counts.ended[0, d - 1 :].sum() + counts.running[0, d:].sum()
        hazard = counts.ended[0, d - 1] / exposed if exposed else 0.0
        assert found.probs[0, 0, d - 1] == pytest.approx(survivors * hazard, rel=1e-12)
        survivors *= 1.0 - hazard
    held = np.full((2, 1, 40), np.nan)
    held[0, 0, 0] = 0.0
    support = law.family.support(params, Constraints({"probs": held}))
    start = CategoricalParams(np.where(np.isnan(held), 1.0 / np.isnan(held).sum(axis=2, keepdims=True), held))
    constrained = law.fit(counts, start, support)
    assert constrained.probs[0, 0, 0] == 0.0
    assert law.q(constrained, counts) <= law.q(found, counts)


@pytest.mark.parametrize("family", [families.Bernoulli(), families.Binomial(9), families.Categorical((7,))])
def test_the_reach_of_a_law(family: Any) -> None:
    assert DurationLaw(family).reach == {"Bernoulli": 2, "Binomial": 10, "Categorical": 7}[type(family).__name__]
    assert not DurationLaw(family, 12).capped


def test_durations_are_drawn_from_their_law() -> None:
    """Means of 4000 draws, within 6 standard errors."""
    rng, params = np.random.default_rng(0), PoissonParams(np.array([[4.0]]))
    for law in (DurationLaw(families.Poisson()).bound(30), DurationLaw(families.Poisson(), 6).bound(30)):
        drawn = law.draw(params, 0, 4000, rng)
        table = np.exp(law.tables(params, 60)[0][0])
        d = 1.0 + np.arange(60)
        mean, square = table @ d, table @ d**2
        assert abs(drawn.mean() - mean) < 6 * np.sqrt((square - mean**2) / 4000)
        assert law.means(params)[0] == pytest.approx(mean, rel=1e-9)
        assert drawn.min() >= 1
        assert law.longest is None or drawn.max() <= law.longest
