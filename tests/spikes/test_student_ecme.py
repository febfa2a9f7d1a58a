"""Multivariate t components whose degrees of freedom maximise the observed likelihood (ECME).

    u_i | z_i = k ~ Gamma(nu_k / 2, rate nu_k / 2),   x_i | u_i, z_i = k ~ N(mu_k, S_k / u_i)

E-step   delta_ik = (x_i - mu_k)' S_k^{-1} (x_i - mu_k)
         E[u]     = (nu_k + d) / (nu_k + delta_ik)
         E[log u] = digamma((nu_k + d) / 2) - log((nu_k + delta_ik) / 2)
CM 1     mu_k = sum r E[u] x / sum r E[u],    S_k = sum r E[u] (x - mu_k)(x - mu_k)' / sum r
CM 2     EM     nu_k solves log(nu/2) + 1 - digamma(nu/2) + sum r (E[log u] - E[u]) / sum r = 0
         ECME   nu_k maximises the *observed* log-likelihood at the new mu, S: more passes, far fewer iterations

symbol       variable     shape
mu           means        (k, d)
S            scales       (k, d, d)
nu           dofs         (k,)        at most NORMAL: there a t is a normal to four digits of its log density
             count        (k,)        sum r
             log_weight   (k,)        sum r E[log u]
             weight       (k,)        sum r E[u]
             total        (k, d)      sum r E[u] (x - a)
             second       (k, d, d)   sum r E[u] (x - a)(x - a)'
a            anchor       (k, d)      the means of the pass, shared

Sources: Liu & Rubin (1995), Statistica Sinica 5:19; Peel & McLachlan (2000), Statistics and Computing 10:339.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import digamma, gammaln

from estep.core.assign import SOFT
from estep.core.protocols import Chunk, Data, Family
from estep.core.record import Array, record, shared
from estep.core.support import Constraints, Positive, Real, Support
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.presets import Variant
from estep.engine.run import log_prior
from estep.engine.update import Only
from estep.engine.visit import total
from estep.families.covariance_support import WholeCovariances, covariance_support
from estep.families.normal import Normal
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams

FEW, NORMAL = 0.1, 1e4


@record
class StudentParams:
    means: Array
    scales: Array
    dofs: Array


@record
class StudentStats:
    count: Array
    log_weight: Array
    weight: Array
    total: Array
    second: Array
    anchor: Array = shared()


def distances(params: StudentParams, x: Array) -> Array:
    """delta (n, k)."""
    z = x[:, None, :] - params.means
    return np.asarray(np.einsum("nki,kij,nkj->nk", z, np.linalg.inv(params.scales), z))


def gamma_moments(dofs: Array, d: int, delta: Array) -> tuple[Array, Array]:
    """E[u] and E[log u], (n, k)."""
    log_u: Array = digamma((dofs + d) / 2) - np.log((dofs + delta) / 2)
    return (dofs + d) / (dofs + delta), log_u


def scatter_about(means: Array, stats: StudentStats) -> Array:
    """sum r E[u] (x - mu)(x - mu)', (k, d, d)."""
    e = means - stats.anchor
    cross = e[:, :, None] * stats.total[:, None, :]
    moved: Array = stats.second - cross - cross.transpose(0, 2, 1)
    return moved + stats.weight[:, None, None] * e[:, :, None] * e[:, None, :]


@dataclasses.dataclass(frozen=True)
class Student:
    """Multivariate t with a scale matrix and degrees of freedom for each component; fixed dofs stay."""

    normal: Normal = Normal()
    names: ClassVar[tuple[str, ...]] = ("means", "scales", "dofs")

    def bind(self, data: Any) -> Student:
        return Student(self.normal.bind(data))

    def start(self, k: int) -> StudentParams:
        like = self.normal.start(k)
        return StudentParams(like.means, like.covariances, np.full(k, 10.0))

    def encode(self, x: Any) -> Array:
        rows: Array = np.asarray(x, dtype=float)
        if not np.isfinite(rows).all():
            raise ValueError("X holds a missing value; this family takes complete rows: use Normal or drop the rows")
        return rows

    def log_density(self, params: StudentParams, encoded: Array) -> Array:
        d, nu = encoded.shape[1], params.dofs
        constant = gammaln((nu + d) / 2) - gammaln(nu / 2) - d / 2 * np.log(nu * math.pi)
        tail = (nu + d) / 2 * np.log1p(distances(params, encoded) / nu)
        return np.asarray(constant - 0.5 * np.linalg.slogdet(params.scales)[1] - tail)

    def stats(self, params: StudentParams, encoded: Array, resp: Array) -> StudentStats:
        u, log_u = gamma_moments(params.dofs, encoded.shape[1], distances(params, encoded))
        z, ru = encoded[:, None, :] - params.means, resp * u
        total, second = np.einsum("nk,nki->ki", ru, z), np.einsum("nk,nki,nkj->kij", ru, z, z)
        return StudentStats(resp.sum(axis=0), (resp * log_u).sum(axis=0), ru.sum(axis=0), total, second, params.means)

    def fit(self, stats: StudentStats, params: StudentParams, support: Support) -> StudentParams:
        means, scales, dofs = (support.entries[n] for n in self.names)
        assert isinstance(means, Real)
        assert isinstance(scales, WholeCovariances)
        assert isinstance(dofs, Positive)
        if not means.pattern.free:
            raise ValueError("Student solves for free means; means with fixed or tied entries need update='ascend'")
        centre = stats.anchor + stats.total / stats.weight[:, None]
        scale = scales.maximise(scatter_about(centre, stats), stats.count, params.scales)
        gap = dofs.pattern.pool(stats.log_weight - stats.weight) / dofs.pattern.pool(stats.count)
        return StudentParams(centre, scale, dofs.pattern.spread(np.array([_solve_dof(g) for g in gap])))

    def q(self, params: StudentParams, stats: StudentStats) -> float:
        d, half = params.means.shape[1], params.dofs / 2
        logdet, precision = np.linalg.slogdet(params.scales)[1], np.linalg.inv(params.scales)
        spread = np.einsum("kij,kji->k", precision, scatter_about(params.means, stats))
        normal = stats.count * (d * np.log(2 * np.pi) + logdet) + spread - d * stats.log_weight
        gamma = stats.count * (half * np.log(half) - gammaln(half)) + (half - 1) * stats.log_weight
        return float((gamma - half * stats.weight - 0.5 * normal).sum())

    def score(self, params: StudentParams, stats: StudentStats, support: Support) -> Array:
        precision, half = np.linalg.inv(params.scales), params.dofs / 2
        pull = stats.total - stats.weight[:, None] * (params.means - stats.anchor)
        curve = stats.count[:, None, None] * precision - precision @ scatter_about(params.means, stats) @ precision
        dofs = stats.count * (np.log(half) + 1 - digamma(half)) + stats.log_weight - stats.weight
        slopes = {"means": np.einsum("kij,kj->ki", precision, pull), "scales": -0.5 * curve, "dofs": 0.5 * dofs}
        return support.pull(params, slopes)

    def support(self, params: StudentParams, constraints: Constraints) -> Support:
        k, d = params.means.shape
        return Support(
            {
                "means": Real(constraints.pattern("means", (k, d))),
                "scales": covariance_support("VVV", Constraints(), k, d),
                "dofs": Positive(constraints.pattern("dofs", (k,))),
            }
        )

    def sample(self, params: StudentParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        nu, lower = params.dofs[labels], np.linalg.cholesky(params.scales)[labels]
        u = rng.gamma(nu / 2, 2 / nu)
        z = rng.standard_normal((labels.size, params.means.shape[1]))
        return np.asarray(params.means[labels] + np.einsum("nij,nj->ni", lower, z) / np.sqrt(u)[:, None])


def _solve_dof(gap: float) -> float:
    """The root of log(nu/2) + 1 - digamma(nu/2) + gap, a function that falls from infinity to 1 + gap."""

    def slope(nu: float) -> float:
        return float(np.log(nu / 2) + 1 - digamma(nu / 2) + gap)

    if slope(NORMAL) >= 0:
        return NORMAL
    return FEW if slope(FEW) <= 0 else float(brentq(slope, FEW, NORMAL, xtol=1e-10))


@dataclasses.dataclass(frozen=True)
class Ecme:
    """An update in two halves: maximise q over ``block``, then the observed objective over each of the dofs in turn."""

    block: tuple[str, ...]
    name: str = "ecme"

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        now = Only(self.block)(model, data, stats, params)

        def height(candidate: Any) -> float:
            return total(model, data, candidate, SOFT).objective + log_prior(model, candidate)

        def height_at(base: Any, k: int, dof: float) -> float:
            return height(with_dof(base, k, dof))

        top = height(now)
        for k in range(now.family.dofs.size):
            best = with_dof(now, k, highest(partial(height_at, now, k)))
            if (value := height(best)) > top:
                now, top = best, value
        return now


def highest(height: Callable[[float], float]) -> float:
    """The number of degrees of freedom between FEW and NORMAL at which ``height`` is largest, to seven digits."""
    bounds = (math.log(FEW), math.log(NORMAL))
    found = minimize_scalar(lambda v: -height(math.exp(v)), bounds=bounds, method="bounded", options={"xatol": 1e-7})
    return math.exp(found.x)


def with_dof(params: LatentParams, k: int, dof: float) -> LatentParams:
    """The same parameters with another number of degrees of freedom in component ``k``."""
    dofs = np.where(np.arange(params.family.dofs.size) == k, dof, params.family.dofs)
    return LatentParams(params.structure, dataclasses.replace(params.family, dofs=dofs))


ECME = Variant("ecme", update=Ecme(("weights", "means", "scales")))


@dataclasses.dataclass
class Counted:
    """A data plane that counts the passes over another."""

    data: Data
    passes: int = 0

    @property
    def n_rows(self) -> int:
        return self.data.n_rows

    def chunks(self) -> Iterator[Chunk]:
        return self.data.chunks()

    def sum(self, fn: Callable[[Chunk], Any]) -> Any:
        self.passes += 1
        return self.data.sum(fn)

    def map(self, fn: Callable[[Chunk], Any], sink: Callable[[Chunk, Any], None]) -> None:
        self.data.map(fn, sink)

    def shuffled(self, rng: np.random.Generator) -> Counted:
        return Counted(self.data.shuffled(rng))


# --- the tests: published numbers first ---

# Brownlee's stack loss data: air flow, water temperature, acid concentration, stack loss.
STACKLOSS = np.loadtxt(
    io.StringIO("""
    80 27 89 42  80 27 88 37  75 25 90 37  62 24 87 28  62 22 87 18  62 23 87 18  62 24 93 19
    62 24 93 20  58 23 87 15  58 18 80 14  58 18 89 14  58 17 88 13  58 18 82 11  58 19 93 12
    50 18 89  8  50 18 86  7  50 19 72  8  50 19 79  8  50 20 80  9  56 20 82 15  70 20 91 15
    """)
).reshape(21, 4)
# Converged values of R MASS 7.3.58.2 cov.trob and a second EM routine: log-likelihood, location, diagonal of the scale.
COV_TROB = {
    1.0: (
        -243.012858312,
        [58.0213341604, 20.7340106366, 85.9434804653, 14.9293588085],
        [37.2477529305, 6.1254114767, 21.8052541829, 38.6208319864],
    ),
    3.0: (
        -236.791371649,
        [58.440240209, 20.6859864975, 85.9660717151, 15.480100814],
        [51.3771632782, 7.34208536342, 23.7900197305, 59.4498302101],
    ),
    5.0: (
        -235.36608252,
        [58.9518272572, 20.7882334729, 86.0528506175, 16.0697433037],
        [60.1829984903, 8.06279197166, 24.4215910943, 72.3824242513],
    ),
}


def moments(x: Array, labels: NDArray[np.intp], dof: float) -> LatentParams:
    """The M-step of a partition with every E[u] = 1."""
    k = int(labels.max()) + 1
    parts = [x[labels == j] for j in range(k)]
    scales = np.array([np.cov(part.T, bias=True) for part in parts])
    family = StudentParams(np.array([part.mean(axis=0) for part in parts]), scales, np.full(k, dof))
    return LatentParams(IidParams(np.bincount(labels) / len(x)), family)


def holding_dofs(k: int, dof: float) -> Latent:
    return Latent(Iid(), Student(), k, constraints=Constraints(fixed={"dofs": np.full(k, dof)}))


def fit_stackloss(dof: float) -> Any:
    begin = moments(STACKLOSS, np.zeros(21, dtype=np.intp), dof)
    return fit(holding_dofs(1, dof), Memory(STACKLOSS), begin, tol=1e-14)


def faithful() -> tuple[Array, NDArray[np.intp]]:
    path = Path(__file__).parents[1] / "reference" / "data" / "faithful.csv"
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    return table[:, :2], table[:, 2].astype(np.intp) - 1


def test_the_promises_are_kept() -> None:
    assert isinstance(Student(), Family)


@pytest.mark.parametrize("dof", COV_TROB)
def test_stack_loss_with_fixed_dofs(dof: float) -> None:
    loglik, location, variances = COV_TROB[dof]
    result = fit_stackloss(dof)
    assert result.converged
    assert result.n_free == 4 + 10
    assert result.loglik == pytest.approx(loglik, abs=1e-7)
    np.testing.assert_allclose(result.params.family.means[0], location, atol=1e-5)
    np.testing.assert_allclose(np.diag(result.params.family.scales[0]), variances, atol=1e-4)


def test_the_reference_notices_a_weight_without_d(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gamma_moments
    monkeypatch.setitem(globals(), "gamma_moments", lambda nu, d, delta: (nu / (nu + delta), right(nu, d, delta)[1]))
    assert abs(fit_stackloss(3.0).objective - COV_TROB[3.0][0]) > 1.0


def test_faithful_with_dofs_fixed_at_five() -> None:
    x, labels = faithful()
    result = fit(holding_dofs(2, 5.0), Memory(x), moments(x, labels, 5.0), tol=1e-12)
    assert result.loglik == pytest.approx(-1137.16998561, abs=1e-6)  # a separate EM routine in R, converged
    np.testing.assert_allclose(result.params.structure.weights, [0.352445237, 0.647554763], rtol=1e-5)


def test_faithful_with_dofs_estimated() -> None:
    """One component's dofs grow without bound, the other's likelihood is flat in them: compare the log-likelihood."""
    x, labels = faithful()
    result = fit(Latent(Iid(), Student(), 2), Memory(x), moments(x, labels, 5.0), ECME)
    assert result.converged
    assert result.loglik == pytest.approx(-1129.938681, abs=1e-3)  # R optim on the likelihood
    assert result.params.family.dofs[0] == pytest.approx(19.2, rel=0.1)
    assert result.params.family.dofs[1] > 500


# --- laws ---


def sampled() -> tuple[Latent, Memory, LatentParams]:
    rng = np.random.default_rng(5)
    scales = np.array([[[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 2.0]]])
    truth = LatentParams(
        IidParams(np.array([0.4, 0.6])),
        StudentParams(np.array([[0.0, 0.0], [6.0, 4.0]]), scales, np.array([2.0, 4.0])),
    )
    x, _ = Latent(Iid(), Student(), 2).sample(truth, 600, rng)
    return Latent(Iid(), Student(), 2), Memory(x, rows=256), truth


def test_fishers_identity() -> None:
    model, data, truth = sampled()
    support = model.support(truth)
    at = support.pack(truth)

    def loglik(v: Array) -> float:
        return total(model, data, support.unpack(v, truth), SOFT).loglik

    slopes = [(loglik(at + 1e-5 * e) - loglik(at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    score = model.score(truth, total(model, data, truth, SOFT).stats)
    # central differences of a value near 3000 with step 1e-5 are good to 3000 eps / 1e-5
    np.testing.assert_allclose(score, slopes, atol=1e-6)


def test_ecme_reaches_the_optimum_of_em_in_fewer_iterations_and_more_passes() -> None:
    model, data, truth = sampled()
    begin = LatentParams(truth.structure, dataclasses.replace(truth.family, dofs=np.array([20.0, 20.0])))
    counted = Counted(data)
    em, ecme = fit(model, data, begin, tol=1e-11), fit(model, counted, begin, ECME, tol=1e-11)
    assert em.converged
    assert ecme.converged
    assert np.diff(ecme.trace.objective).min() >= -1e-12 * abs(ecme.objective)
    assert ecme.loglik == pytest.approx(em.loglik, abs=1e-6)
    np.testing.assert_allclose(ecme.params.family.dofs, em.params.family.dofs, rtol=1e-3)
    assert len(ecme.trace) < len(em.trace) / 2
    assert counted.passes > 10 * len(ecme.trace)


def test_a_missing_value_is_refused() -> None:
    model, _, truth = sampled()
    with pytest.raises(ValueError, match="takes complete rows"):
        fit(model, Memory(np.array([[np.nan, 1.0]])), truth)
