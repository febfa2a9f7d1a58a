"""The rate of EM, its slow direction and the missing information, against closed forms and differences of the whole map."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np
import pytest

import estep
from estep.core.assign import SOFT
from estep.core.protocols import Assign, Chunk, Expected
from estep.core.ranges import Probability
from estep.core.record import Array, record
from estep.core.support import Constraints, Support
from estep.data.memory import Memory
from estep.data.sets import load_faithful
from estep.engine.fit import fit
from estep.engine.visit import total
from estep.inference.errors import standard_errors
from estep.inference.rate import Rate, find_rate, in_words, missing_information, rate_of

DEATHS = np.repeat(np.arange(10.0), [162, 267, 271, 185, 111, 61, 27, 8, 3, 1])[:, None]


@record
class Share:
    """The linkage parameter."""

    p: Array


@record
class Cells:
    """Expected counts of animals for and against p."""

    yes: Array
    no: Array


@dataclasses.dataclass(frozen=True)
class Linkage:
    """Rao's 197 animals: cells 1/2 + p/4, (1-p)/4, (1-p)/4, p/4, the first of which is the sum of two."""

    prior: Any = None
    names: ClassVar[tuple[str, ...]] = ("p",)

    def estep(self, params: Share, chunk: Chunk, assign: Assign) -> Expected:
        p, y = float(params.p), chunk.x[0]
        hidden = y[0] * (p / 4) / (0.5 + p / 4)
        value = float(y @ np.log([0.5 + p / 4, (1 - p) / 4, (1 - p) / 4, p / 4]))
        return Expected(Cells(np.array(hidden + y[3]), np.array(y[1] + y[2])), value, value, 197.0)

    def mstep(self, stats: Cells, params: Share) -> Share:
        return Share(stats.yes / (stats.yes + stats.no))

    def q(self, params: Share, stats: Cells) -> float:
        return float(stats.yes * np.log(params.p) + stats.no * np.log(1 - params.p))

    def score(self, params: Share, stats: Cells) -> Array:
        return np.array([float(stats.yes * (1 - params.p) - stats.no * params.p)])

    def support(self, params: Share) -> Support:
        return Support({"p": Probability(Constraints().pattern("p", ()))})


@pytest.fixture(scope="module")
def linkage() -> tuple[Linkage, Memory, Any]:
    model, data = Linkage(), Memory(np.array([[125.0, 18.0, 20.0, 34.0]]))
    return model, data, fit(model, data, Share(np.array(0.5)), tol=1e-14).params


@pytest.fixture(scope="module")
def deaths() -> Any:
    return estep.Mixture(estep.Poisson(), 2, tol=1e-13, max_iter=20_000, random_state=0).fit(DEATHS)


def test_the_rate_of_the_linkage_data_is_their_missing_information(linkage: Any) -> None:
    """Dempster, Laird & Rubin (1977): 57.8009534 of 435.3178538 are missing, .1327787 of all."""
    found = find_rate(*linkage)
    assert found.value == pytest.approx(0.132778733746, abs=1e-8)
    assert found.whole
    errors = standard_errors(*linkage)
    assert rate_of(errors).value == pytest.approx(0.132778733746, abs=1e-7)
    assert missing_information(errors)["p"] == pytest.approx(0.132778733746, abs=1e-7)
    assert found.words == "p"


def test_rates_of_the_death_notices(deaths: Any) -> None:
    """The eigenvalues of DM of Hasselblad's data: .995666 and .720418, and nothing missing of the mean."""
    result, data = deaths.result_, Memory(DEATHS)
    for found in (find_rate(result.model, data, result.params), rate_of(deaths.standard_errors(DEATHS))):
        assert found.eigenvalues == pytest.approx([0.995666, 0.720418, 0.0], abs=2e-6)
        assert found.words == "weights and rates of components 0 and 1"
        assert found.passes_a_digit == pytest.approx(math.log(10) / -math.log(0.995666), rel=1e-3)


def test_it_is_the_rate_at_which_a_run_converges(deaths: Any) -> None:
    """What a pass leaves of the gap, watched on a run near the top, and the passes to the tolerance: to one in a hundred."""
    result, data = deaths.result_, Memory(DEATHS)
    rate = find_rate(result.model, data, result.params)
    support = result.model.support(result.params)
    here = support.pack(result.params)
    vector = here + 0.3 * rate.direction

    def gap(v: Array) -> float:
        return float(result.loglik - total(result.model, data, support.unpack(v, result.params), SOFT).loglik)

    gaps = [gap(vector)]
    for _ in range(300):
        params = support.unpack(vector, result.params)
        vector = support.pack(result.model.mstep(total(result.model, data, params, SOFT).stats, params))
        gaps.append(gap(vector))
    assert (gaps[300] / gaps[0]) ** (1 / 600) == pytest.approx(rate.value, abs=2e-4)
    assert rate.passes_left(gaps[0], gaps[300]) == pytest.approx(300, rel=0.03)


def test_few_passes_find_the_largest_of_many(linkage: Any) -> None:
    """29 parameters: the leading eigenvalue as the whole of DM by differences of the map has it."""
    X, _ = load_faithful()
    fitted = estep.GaussianMixture(3, covariance_type="EEE", random_state=0, tol=1e-13, max_iter=20_000).fit(X)
    found = find_rate(fitted.result_.model, Memory(X), fitted.result_.params, accuracy=1e-4)
    whole = 1.0 - fitted.standard_errors(X, method="sem").shares
    assert found.value == pytest.approx(whole.max(), abs=1e-4 * (1 - whole.max()) + 1e-6)
    size = max(float(v.max()) for v in found.moves.values())
    assert 0.5 < size <= 1.0 + 1e-9


def test_missing_information_is_between_none_and_all_and_follows_the_variances(deaths: Any) -> None:
    errors = deaths.standard_errors(DEATHS)
    shares = missing_information(errors)
    known = np.linalg.inv(errors.complete)
    for name, share in shares.items():
        slope = errors.jacobian[name].reshape(-1, 3)
        alone = np.einsum("mp,pq,mq->m", slope, known, slope).reshape(share.shape)
        assert share == pytest.approx(1 - alone / errors.se[name] ** 2, abs=1e-9)
        assert ((share > 0) & (share < 1)).all()


def test_families_with_corners_have_no_rate() -> None:
    rows = np.array([[0.0], [0.3], [1.0], [5.0], [5.5], [7.0]])
    fitted = estep.Mixture(estep.Laplace(), 1).fit(rows)
    with pytest.raises(TypeError, match="corners or jumps"):
        find_rate(fitted.result_.model, Memory(rows), fitted.result_.params)


def test_passes_left_at_the_ends_of_the_scale() -> None:
    flat = Rate(1.0, np.ones(1), np.ones(1), {}, True, 0, 0)
    assert flat.passes_left(1.0, 1e-6) == math.inf == flat.passes_a_digit
    assert flat.passes_left(1e-9, 1e-6) == 0
    newton = dataclasses.replace(flat, value=0.0)
    assert (newton.passes_left(1.0, 1e-6), newton.passes_a_digit) == (1, 1.0)
    assert in_words({"weights": np.zeros(2)}, 2) == ""
