"""Standard errors of hidden Markov models: one truth by every method, sequences as units, and what one sequence cannot tell.

Judges are differences of the log-likelihood (``hessian``), and for the covariance over paths their enumeration.
"""

import dataclasses
import itertools
import warnings

import numpy as np
import pytest

import estep
from estep.core.protocols import Chunk
from estep.data import Memory
from estep.inference import check_law, scene, units
from estep.inference.errors import standard_errors
from estep.models import Latent
from estep.structures import Chain, chain_scores

QUAKES = np.fromstring(
    """
    13 14 8 10 16 26 32 27 18 32 36 24 22 23 22 18 25 21 21 14 8 11 14 23 18 17 19 20 22 19 13 26 13 14 22 24 21 22 26 21
    23 24 27 41 31 27 35 26 28 36 39 21 17 22 17 19 15 34 10 15 22 18 15 20 15 22 19 16 30 27 29 23 20 16 21 21 25 16 18 15
    18 14 10 15 8 15 6 11 8 7 18 16 13 12 13 20 15 16 12 18 15 16 13 15 16 11 11
    """,
    sep=" ",
)[:, None]  # earthquakes of each year from 1900 on, Zucchini & MacDonald (2009), table 1.1


def paths(s, length, rng, k=2):
    moves = np.full((k, k), 0.25 / (k - 1))
    np.fill_diagonal(moves, 0.75)
    out = []
    for _ in range(s):
        z = [int(rng.integers(k))]
        for _ in range(length - 1):
            z.append(int(rng.choice(k, p=moves[z[-1]])))
        out.append(np.array(z))
    return out


def series(s=24, length=15, k=2, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=length) + 3.0 * z)[:, None] for z in paths(s, length, rng, k)]


def gaps(x, share, seed=1):
    rng = np.random.default_rng(seed)
    return [np.where(rng.random(part.shape) < share, np.nan, part) for part in x]


def words(parts, rng, probs):
    return [np.array([rng.choice(len(probs[0]), p=probs[state]) for state in z])[:, None] for z in parts]


def cases():
    rng = np.random.default_rng(5)
    x, z = series(), paths(30, 14, rng)
    two = [np.column_stack([rng.normal(size=len(p)) + 3 * p, 0.7 * rng.normal(size=len(p)) - p]) for p in z]
    counts = [rng.poisson(np.array([2.0, 8.0])[p])[:, None].astype(float) for p in z]
    left = [np.repeat([0.0, 4.0, 8.0], rng.integers(3, 8, 3))[:, None] for _ in range(15)]
    left = [part + rng.normal(size=part.shape) for part in left]
    known = [np.where(rng.random(15) < 0.2, part[:, 0] > 1.5, -1).astype(int) for part in x]
    return {
        "normal": (estep.GaussianHMM(2, tol=1e-13, random_state=0), x, {}),
        "diagonal": (estep.GaussianHMM(2, covariance_type="diag", tol=1e-13, random_state=0), two, {}),
        "counts": (estep.PoissonHMM(2, tol=1e-13, random_state=0), counts, {}),
        "categories": (
            estep.CategoricalHMM(2, tol=1e-13, max_iter=5000, random_state=0),
            words(z, rng, [[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]),
            {},
        ),
        "gaps": (estep.GaussianHMM(2, tol=1e-13, random_state=0), gaps(x, 0.1), {}),
        "weights": (estep.GaussianHMM(2, tol=1e-13, random_state=0), x, {"sample_weight": np.resize([1.0, 2.0, 0.5], 24)}),
        "labels": (estep.GaussianHMM(2, tol=1e-13, random_state=0), x, {"y": known}),
        "fixed": (estep.GaussianHMM(2, fixed={"transmat": [[0.8, 0.2], [np.nan, np.nan]]}, tol=1e-13, random_state=0), x, {}),
        "left to right": (estep.GaussianHMM(3, topology="left-to-right", bandwidth=1, tol=1e-13, random_state=0), left, {}),
        "an end": (
            estep.GaussianHMM(3, topology="left-to-right", bandwidth=1, end=True, tol=1e-13, random_state=0),
            left,
            {},
        ),
        "prior": (estep.GaussianHMM(2, prior={"sticky": 5.0}, tol=1e-13, random_state=0), x, {}),
    }


CASES = cases()


def quietly(function, *given, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*given, **more)


@pytest.mark.parametrize("name", CASES)
def test_every_method_agrees_with_differences_of_the_likelihood(name):
    model, x, rows = CASES[name]
    fit = model.fit(x, **rows)
    judge = quietly(fit.standard_errors, x, method="hessian", **rows)
    hidden = name == "gaps"  # missing entries are hidden too
    if hidden:
        with pytest.raises(TypeError, match="Normal hides more on these rows.*use method='oakes'"):
            fit.standard_errors(x, method="louis", **rows)
    for method in ("oakes", "sem") if hidden else ("oakes", "louis", "sem"):
        found = quietly(fit.standard_errors, x, method=method, **rows)
        for parameter, se in judge.items():
            np.testing.assert_allclose(found[parameter], se, rtol=2e-5, err_msg=f"{method}: {parameter}")
            assert (found.reasons[parameter] == judge.reasons[parameter]).all()
        assert np.isfinite(judge["means" if "means" in judge else "transmat"]).all()


def test_structural_zeros_and_fixed_entries_have_no_error():
    model, x, rows = CASES["left to right"]
    errors = quietly(model.fit(x, **rows).standard_errors, x)
    assert (errors.reasons["startprob"] == "fixed").all()
    assert errors.reasons["transmat"].tolist() == [["", "", "fixed"], ["fixed", "", ""], ["fixed", "fixed", "fixed"]]
    model, x, rows = CASES["fixed"]
    errors = quietly(model.fit(x, **rows).standard_errors, x)
    assert errors.reasons["transmat"].tolist() == [["fixed", "fixed"], ["", ""]]


def test_the_covariance_over_paths_is_that_of_their_enumeration():
    rng = np.random.default_rng(3)
    chain, family, k = Chain(end=True), estep.Poisson(), 2
    ends, x = np.array([4, 7]), rng.poisson(4.0, size=(7, 1)).astype(float)
    model = Latent(chain, family, k).bind(Memory(x, ends=ends))
    start = model.start()
    support = model.support(start)
    params = support.unpack(rng.normal(size=support.count), start)
    s, f = model.structure.support(params.structure, model.constraints), model.family.support(params.family, model.constraints)
    chunk = Chunk(("x", 0, 7), x, weight=np.repeat([2.0, 1.0], [4, 3]), ends=ends)
    expected = np.zeros((support.count, support.count))
    law = params.structure
    for begin, end, weight in ((0, 4, 2.0), (4, 7, 1.0)):
        part, chances, scores = x[begin:end], [], []
        logb = family.log_density(params.family, family.encode(part))
        for z in itertools.product(range(k), repeat=len(part)):
            first, pairs = np.eye(k)[z[0]], np.zeros((k, k + 1))
            for i, j in itertools.pairwise((*z, k)):
                pairs[i, j] += 1
            resp = np.eye(k)[list(z)]
            own = chain.score(law, type(chain.prior(k, None))(first, pairs), s)
            seen = family.unit_scores(params.family, family.encode(part), resp, f).sum(axis=0)
            scores.append(np.concatenate([own, seen]))
            chances.append(np.log(law.startprob[z[0]]) + (pairs * np.log(law.transmat)).sum() + (resp * logb).sum())
        p = np.exp(np.array(chances) - np.logaddexp.reduce(chances))
        expected += weight * np.cov(np.array(scores).T, aweights=p, ddof=0)
    np.testing.assert_allclose(model.score_covariance(params, chunk), expected, atol=1e-12)


def test_scores_of_long_sequences_go_block_by_block(monkeypatch):
    model, x, rows = CASES["normal"]
    fit = model.fit(x, **rows)
    whole = fit.standard_errors(x, method="louis").observed
    monkeypatch.setattr(chain_scores, "ROWS", 4)
    np.testing.assert_allclose(fit.standard_errors(x, method="louis").observed, whole, rtol=1e-12)


def test_planted_bugs_are_caught(monkeypatch):
    model, x, rows = CASES["normal"]
    fit = model.fit(x, **rows)
    judge = fit.standard_errors(x, method="hessian")
    right = chain_scores._moved

    def without_moves(filtered, moves, mean, moved, cov):
        return right(filtered, moves, mean, np.zeros_like(moved), cov)

    def without_spread(filtered, moves, mean, moved, cov):
        ahead, middle, _ = right(filtered, moves, mean, moved, cov)
        return ahead, middle, np.zeros_like(cov)

    for wrong in (without_moves, without_spread):
        monkeypatch.setattr(chain_scores, "_moved", wrong)
        found = quietly(fit.standard_errors, x, method="louis")
        assert not np.allclose(found["means"], judge["means"], rtol=2e-3, equal_nan=True)


# --- sequences as units ---


@pytest.mark.parametrize("method", ["oakes", "louis", "opg", "sandwich"])
def test_weight_two_is_a_sequence_seen_twice(method):
    x = series()
    weight = np.resize([1.0, 2.0, 3.0], len(x))
    fit = estep.GaussianHMM(2, tol=1e-13, random_state=0).fit(x, sample_weight=weight)
    twice = [part for part, w in zip(x, weight, strict=True) for _ in range(int(w))]
    found = fit.standard_errors(x, sample_weight=weight, method=method)
    seen = fit.standard_errors(twice, method=method)
    for name in found:
        np.testing.assert_allclose(found[name], seen[name], rtol=1e-7)


def test_sandwich_and_opg_are_made_of_whole_sequences():
    x = series(40)
    fit = estep.GaussianHMM(2, tol=1e-13, random_state=0).fit(x)
    point = fit.standard_errors(x).point
    scores = np.array([_score_alone(point, part) for part in x])
    np.testing.assert_allclose(fit.standard_errors(x, method="opg").observed, scores.T @ scores, rtol=1e-6)
    inverse = np.linalg.inv(fit.standard_errors(x).observed)
    robust = fit.standard_errors(x, method="sandwich")
    np.testing.assert_allclose(robust.covariance, inverse @ scores.T @ scores @ inverse, rtol=1e-5)
    each = fit.standard_errors(x, method="sandwich", clusters=np.arange(40))
    np.testing.assert_allclose(each.covariance, robust.covariance, rtol=1e-12)


def _score_alone(point, part):
    """Score of one sequence by differences of its log-likelihood."""
    data, out = Memory(part, ends=np.array([len(part)])), np.empty(point.p)
    for j in range(point.p):
        step = 1e-5 * (np.arange(point.p) == j)
        up, down = (
            data.sum(
                lambda chunk, s=s, step=step: point.model.explain(point.params_at(point.at + s * step), chunk).log_density.sum()
            )
            for s in (1.0, -1.0)
        )
        out[j] = (up - down) / 2e-5
    return out


def test_a_sequence_within_clusters():
    x = series(30)
    fit = estep.GaussianHMM(2, tol=1e-13, random_state=0).fit(x)
    clinic = np.repeat(np.arange(15), 2)
    pairs = fit.standard_errors(x, method="sandwich", clusters=clinic)
    by_row = fit.standard_errors(x, method="sandwich", clusters=np.repeat(clinic, 15))
    np.testing.assert_array_equal(pairs["means"], by_row["means"])
    apart = np.tile(np.arange(30), 15)  # rows of a sequence lie apart: row t of each, in turn
    mixed = np.concatenate([part[t : t + 1] for t in range(15) for part in x])
    lying = fit.standard_errors(mixed, method="sandwich", sequence=apart, clusters=clinic[apart])
    np.testing.assert_allclose(lying["means"], pairs["means"], rtol=1e-12)
    with pytest.raises(ValueError, match="clusters differ within sequence 0"):
        fit.standard_errors(x, method="sandwich", clusters=np.arange(450))
    with pytest.raises(ValueError, match=r"expected \(30,\), the cluster of each sequence, or \(450,\)"):
        fit.standard_errors(x, method="sandwich", clusters=np.arange(7))
    with pytest.raises(ValueError, match="more clusters than free parameters to have an inverse, and there are 3 and 7"):
        fit.standard_errors(x, method="opg", clusters=np.repeat(np.arange(3), 10))
    few = quietly(fit.standard_errors, x, method="sandwich", clusters=np.repeat(np.arange(3), 10))
    assert any("robust errors of few clusters tend to be too small" in note for note in few.notes)
    boot = fit.standard_errors(x, method="bootstrap", clusters=clinic, n_boot=5)
    assert boot.problem.sampled.m == 15


def test_what_one_sequence_cannot_tell_is_said():
    fit = estep.PoissonHMM(2, tol=1e-12, random_state=0).fit(QUAKES)
    for method in ("opg", "sandwich"):
        with pytest.raises(ValueError, match="learns from how the scores of sequences differ, and there is one.*'oakes'"):
            fit.standard_errors(QUAKES, method=method)
    for kind in ("nonparametric", "weighted"):
        with pytest.raises(
            ValueError, match="draws whole sequences, and there is one; use kind='parametric', or kind='blocks'"
        ):
            fit.standard_errors(QUAKES, method="bootstrap", kind=kind)
    with pytest.raises(ValueError, match="influence is of whole sequences, and there is one"):
        fit.influence(QUAKES)
    with pytest.raises(ValueError, match="leaves out one sequence after another, and there is one; use method='percentile'"):
        quietly(fit.confint, QUAKES, method="bca", kind="parametric", n_boot=5)
    skipped = dict(fit.diagnose(QUAKES, n_sim=0).skipped)
    assert skipped["influence of single rows"] == "there is one sequence"


def test_the_start_of_one_sequence_is_at_the_end_of_its_range():
    fit = estep.PoissonHMM(2, tol=1e-12, random_state=0).fit(QUAKES)
    with pytest.warns(UserWarning, match=r"no standard error for startprob\[0\], startprob\[1\]: at the boundary"):
        errors = fit.standard_errors(QUAKES)
    assert np.isnan(errors["startprob"]).all() and np.isfinite(errors["transmat"]).all()
    boot = quietly(fit.standard_errors, QUAKES, method="bootstrap", kind="parametric", n_boot=6)
    assert (boot.reasons["startprob"] == "constant").all() and np.isfinite(boot["rates"]).all()


@pytest.mark.parametrize("left", [1e-4, 2e-6])
def test_a_start_that_is_on_its_way_to_the_end_counts_as_there(left):
    """A run that stops early leaves startprob at 2e-6 and the like, whose 'standard error' would be a thousand times that."""
    fit = estep.PoissonHMM(2, tol=1e-12, random_state=0).fit(QUAKES)
    chain = fit.result_.params.structure
    start = np.where(chain.startprob > 0.5, 1.0 - left, left)
    params = dataclasses.replace(fit.result_.params, structure=dataclasses.replace(chain, startprob=start))
    data = Memory(QUAKES, ends=np.array([len(QUAKES)]))
    errors = standard_errors(fit.result_.model, data, params, quiet=True)
    assert (errors.reasons["startprob"] == "boundary").all() and (errors.reasons["transmat"] == "").all()
    assert errors.covariance.shape == (4, 4)


def test_a_small_probability_that_stays_keeps_its_error():
    rng = np.random.default_rng(0)
    x = (rng.random((20_000, 4)) < np.array([0.0006, 0.3, 0.5, 0.9])).astype(float)
    fit = estep.Mixture(estep.Bernoulli(), 1).fit(x)
    p = x[:, 0].mean()
    assert 0 < p < 1e-3
    np.testing.assert_allclose(fit.standard_errors(x)["probs"][0, 0], np.sqrt(p * (1 - p) / 20_000), rtol=1e-5)


# --- intervals, influence, diagnosis, tables ---


def test_profiles_hold_one_entry_of_one_row():
    """Of rows of a transition matrix each counts its entries anew; an entry held must not hold its namesakes in other rows."""
    fit = estep.PoissonHMM(2, tol=1e-12, random_state=0).fit(QUAKES)
    errors = quietly(fit.standard_errors, QUAKES)
    ends = quietly(fit.confint, QUAKES, method="profile", which={"transmat": (0, 1)}, errors=errors)["transmat"][0, 1]
    data = Memory(QUAKES, ends=np.array([len(QUAKES)]))
    for end in ends:
        held = {"transmat": [[np.nan, end], [np.nan, np.nan]]}
        model = estep.PoissonHMM(2, fixed=held, tol=1e-12, init=dict(startprob=fit.startprob_, rates=fit.rates_)).fit(QUAKES)
        assert 2 * (fit.log_likelihood_ - model.log_likelihood_) == pytest.approx(3.841459, abs=1e-3)
    assert ends[0] < fit.transmat_[0, 1] < ends[1] and data.n_rows == 107


def test_influence_points_where_the_fit_without_the_sequence_goes():
    x = series(20, 20)
    x[7] = x[7] + 2.5
    fit = estep.GaussianHMM(2, tol=1e-12, random_state=0).fit(x)
    found = fit.influence(x)
    assert (
        found.unit == "sequence"
        and found.top(1)[0][0] == 7
        and list(found.to_frame()) == ["sequence", "distance", "shift", "parameter"]
    )
    rest = [part for i, part in enumerate(x) if i != 7]
    again = estep.GaussianHMM(2, tol=1e-12, init=dict(fit.params_)).fit(rest)
    errors = fit.standard_errors(x)
    name, index = found.mostly[7].rstrip("]").split("[")
    at = tuple(int(i) for i in index.split(","))
    moved = (again.params_[name][at] - fit.params_[name][at]) / errors[name][at]
    assert np.sign(moved) == np.sign(found.shift[7]) and abs(moved - found.shift[7]) < 0.5 * abs(moved)
    told = fit.diagnose(x, errors=errors, n_sim=0).of("influential")
    assert told is not None and 7 in told.numbers["rows"] and "Single sequences decide" in told.title


def test_the_law_of_forecasts_sees_what_the_states_cannot_hold():
    rng = np.random.default_rng(2)
    z = np.concatenate(paths(1, 500, rng))
    x = rng.standard_t(2.0, size=500)[:, None] * 0.7 + 6.0 * z[:, None]
    fit = estep.GaussianHMM(2, random_state=0).fit(x)
    found = quietly(fit.diagnose, x, n_sim=99).of("misfit")
    assert found is not None and found.numbers["p_value"] == 0.01 and "given those before them" in found.evidence
    right = 6.0 * z[:300, None] + rng.normal(size=(300, 1))
    fit = estep.GaussianHMM(2, random_state=0).fit(right)
    assert "misfit" not in quietly(fit.diagnose, right, n_sim=99).kinds


def test_the_law_of_forecasts_is_quiet_where_it_holds():
    """p values are uniform under the model: of 12 fits of true models, more than 2 below 0.05 happen once in 50."""
    low = 0
    for seed in range(12):
        rng = np.random.default_rng([9, seed])
        z = np.concatenate(paths(4, 40, rng))
        x = rng.poisson(np.array([2.0, 9.0])[z])[:, None].astype(float)
        init = dict(startprob=[0.5, 0.5], transmat=[[0.75, 0.25], [0.25, 0.75]], rates=[[2.0], [9.0]])
        fit = estep.PoissonHMM(2, init=init).fit(x, lengths=[40] * 4)
        data = Memory(x, ends=np.array([40, 80, 120, 160]))
        seen = scene.see(fit.result_.model, data, fit.result_, n_sim=39)
        errors = quietly(standard_errors, fit.result_.model, data, fit.result_.params)
        low += _p_value(seen, errors) <= 0.05
    assert low <= 2


def _p_value(scene, errors):
    law, rows = check_law.law_of(scene), check_law._rows_of(scene)[0]
    assert law.name == "forecasts"
    seen, rng = law.measure(scene.model, scene.params, rows), np.random.default_rng(0)
    drawn = [check_law.drawn(scene.model, scene.params, rows, rng) for _ in range(scene.n_sim)]
    fits = [check_law.refitted(errors, each) for each in drawn]
    values = [law.measure(scene.model, p, d).value for p, d in zip(fits, drawn, strict=True) if p is not None]
    return (1 + sum(v >= seen.value for v in values)) / (1 + len(values))


def test_tables_name_moves_and_parts():
    fit = estep.PoissonHMM(2, tol=1e-12, random_state=0).fit(QUAKES)
    errors = quietly(fit.standard_errors, QUAKES)
    frame = fit.to_frame(errors=errors)
    moves = frame[frame["parameter"] == "transmat"]
    assert moves["column"].tolist() == ["to 0", "to 1"] * 2
    assert "weights" not in set(fit.to_frame()["parameter"])  # expected shares follow from the moves
    for text in (fit.to_latex(errors=errors), fit.to_markdown(errors=errors), fit.to_html(errors=errors)):
        assert "to 1" in text and "boundary" in text
    told = quietly(fit.summary, QUAKES, errors=True)
    assert "Standard errors by oakes" in told and "at the boundary" in told
    with pytest.raises(ValueError, match="errors=True finds standard errors from the rows"):
        fit.summary(errors=True)


def test_parts_within_states_are_counted_as_such():
    rng = np.random.default_rng(0)
    z = rng.random(400) < 0.5
    x = np.where(z, rng.choice([-4.0, 4.0], 400), rng.choice([-1.0, 1.0], 400)) + 0.8 * rng.normal(size=400)
    rows = np.column_stack([x, rng.normal(size=400)])
    fit = estep.GMMHMM(2, 2, covariance_type="diag", random_state=0, n_init=2).fit(rows, lengths=[40] * 10)
    frame = quietly(fit.to_frame, rows, lengths=[40] * 10)
    means = frame[frame["parameter"] == "means"]
    assert means["component"].tolist() == ["0, part 0"] * 2 + ["0, part 1"] * 2 + ["1, part 0"] * 2 + ["1, part 1"] * 2
    assert means["column"].tolist() == ["x0", "x1"] * 4
    spread = frame[(frame["parameter"] == "covariances") & np.isfinite(frame["se"])]
    assert len(spread) and (spread["lower"] > 0).all()  # on the scale of logarithms
    with pytest.raises(TypeError, match="Mixed hides more on these rows"):
        fit.standard_errors(rows, lengths=[40] * 10, method="louis")


def test_units_are_counted():
    x = np.zeros((7, 1))
    assert units.counted(Memory(x)) == (7, "rows")
    data = Memory(x, ends=np.array([2, 3, 7]), weight=np.repeat([1.0, 2.0, 3.0], [2, 1, 4]), rows=3)
    assert units.counted(data) == (3, "sequences")
    assert np.concatenate([units.weight_of(chunk) for chunk in data.chunks()]).tolist() == [1.0, 2.0, 3.0]
    places = units.Places(data)
    assert [places.of(chunk) for chunk in data.chunks()] == [slice(0, 2), slice(2, 3)]


def test_residuals_are_drawn():
    fit = estep.PoissonHMM(2, random_state=0).fit(QUAKES)
    figure = fit.plot_residuals(QUAKES, kind="forecast")
    shown = figure.axes[0].lines[0].get_ydata()
    residuals = fit.pseudo_residuals(QUAKES, kind="forecast")
    np.testing.assert_allclose(np.sort(shown), np.sort(residuals[np.abs(residuals) <= 3]))
    assert len(figure.axes) == 3  # with the autocorrelations
    two = estep.GaussianHMM(2, random_state=0).fit(np.column_stack([QUAKES, QUAKES[::-1]]))
    second = two.pseudo_residuals(np.column_stack([QUAKES, QUAKES[::-1]]), column="x1")
    assert second.shape == (107,) and abs(second.mean()) < 0.5
    letters = estep.CategoricalHMM(2, random_state=0).fit(np.resize([0, 1, 1, 0, 2], 60)[:, None])
    with pytest.raises(ValueError, match="no distribution function along column 0"):
        letters.plot_residuals(np.resize([0, 1, 1, 0, 2], 60)[:, None])
