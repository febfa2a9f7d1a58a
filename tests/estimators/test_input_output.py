"""Input-output hidden Markov models: every way to bring covariates, enumeration, gaps and labels together, files."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.special import log_softmax

import estep

COEFS = np.zeros((2, 2, 2))
COEFS[0, 1], COEFS[1, 0] = [-2.0, 1.5], [-1.0, -1.0]
LENGTHS = [60, 30, 60]


def truth(start_gate: bool = False) -> Any:
    """A model whose parameters are all fixed: two Poisson states."""
    held = {"start_coefs": [[0.0, 0.0], [0.5, 2.0]]} if start_gate else {"startprob": [0.7, 0.3]}
    fixed = {"move_coefs": COEFS, "rates": [[1.0], [8.0]], **held}
    model = estep.InputOutputHMM(estep.Poisson(), 2, start_gate=start_gate, fixed=fixed, n_init=1, random_state=0)
    rng = np.random.default_rng(0)
    return model.fit(rng.poisson(3.0, size=(6, 1)), covariates=rng.normal(size=6))


def made(seed: int = 0, lengths: list[int] = LENGTHS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    given = np.random.default_rng(seed).normal(size=(sum(lengths), 1))
    x, z = truth().sample(given, lengths=lengths)
    return x, given, z


def fitted(**settings: Any) -> Any:
    x, given, _ = made()
    return estep.InputOutputHMM(estep.Poisson(), 2, random_state=0, n_init=2, **settings).fit(
        x, covariates=given, lengths=LENGTHS
    )


def test_every_way_to_bring_the_same_covariates() -> None:
    (x, given, _), fit = made(), fitted()
    cuts = np.cumsum(LENGTHS)[:-1]
    table = pd.DataFrame({"x": x[:, 0], "dose": given[:, 0], "id": np.repeat([5, 3, 9], LENGTHS)})
    ways: list[tuple[Any, dict[str, Any]]] = [
        (np.split(x, cuts), {"covariates": np.split(given, cuts)}),
        (np.split(x, cuts), {"covariates": [part[:, 0] for part in np.split(given, cuts)]}),
        (x, {"covariates": given[:, 0], "sequence": np.repeat([5, 3, 9], LENGTHS)}),
        (table[["x", "id"]], {"covariates": table[["dose"]], "sequence": "id"}),
        (table, {"covariates": "dose", "sequence": "id"}),
        (table, {"covariates": ["dose"], "sequence": "id"}),
        (pl.from_pandas(table), {"covariates": ["dose"], "sequence": "id"}),
    ]
    proba = fit.predict_proba(x, covariates=given, lengths=LENGTHS)
    for rows, how in ways:
        again = estep.InputOutputHMM(estep.Poisson(), 2, random_state=0, n_init=2).fit(rows, **how)
        assert again.log_likelihood_ == pytest.approx(fit.log_likelihood_, rel=1e-12)
        np.testing.assert_allclose(again.predict_proba(rows, **how), proba, atol=1e-9)
        if "dose" in str(how["covariates"]):
            assert again.covariate_names_.tolist() == ["dose"]
            with pytest.raises(ValueError, match="covariates are"):
                again.score(table[["x"]], covariates=pd.DataFrame({"dosis": given[:, 0]}), lengths=LENGTHS)
    apart = np.argsort(np.concatenate([np.arange(n) for n in LENGTHS]), kind="stable")  # rows of all sequences in turn
    ids = np.repeat([5, 3, 9], LENGTHS)[apart]
    np.testing.assert_allclose(fit.predict_proba(x[apart], covariates=given[apart], sequence=ids), proba[apart], atol=1e-12)


def test_probabilities_paths_and_likelihood_by_enumeration() -> None:
    x, given, _ = made(1, [7])
    x[[2, 5]] = np.nan
    fit, logs = truth(), {}
    logb = np.where(np.isnan(x), 0.0, -np.array([1.0, 8.0]) + x * np.log([1.0, 8.0]))
    moves = log_softmax(COEFS[..., 0] + COEFS[..., 1] * given[:, :, None], axis=2)
    for path in itertools.product(range(2), repeat=7):
        steps = sum(moves[t, path[t - 1], path[t]] for t in range(1, 7))
        logs[path] = np.log([0.7, 0.3][path[0]]) + steps + logb[np.arange(7), path].sum()
    constant = -np.array([sum(np.log(np.arange(1, v + 1))) for v in np.nan_to_num(x[:, 0])]).sum()
    total = np.logaddexp.reduce(list(logs.values())) + constant
    assert fit.score_samples(x, covariates=given).sum() == pytest.approx(total, rel=1e-12)
    best = sorted(logs, key=logs.__getitem__, reverse=True)[:3]
    paths, values = fit.decode(x, covariates=given, count=3)
    assert paths.tolist() == [list(path) for path in best]
    np.testing.assert_allclose(values, [logs[path] + constant for path in best], rtol=1e-12)
    share = np.exp(np.array(list(logs.values())) + constant - total)
    on = np.array(list(logs)) == 1
    np.testing.assert_allclose(fit.predict_proba(x, covariates=given)[:, 1], share @ on, atol=1e-12)
    future = np.array([[0.5], [-1.0]])
    ahead = fit.forecast(x, future, covariates=given)
    last = np.array([1 - share @ on[:, 6], share @ on[:, 6]])
    both = fit.transmat(future)
    np.testing.assert_allclose(ahead.states, [last @ both[0], last @ both[0] @ both[1]], rtol=1e-10)
    draws = ahead.sample(4000)
    mean = ahead.states[1] @ [1.0, 8.0]
    assert abs(draws[:, 1, 0].mean() - mean) < 5 * draws[:, 1, 0].std() / np.sqrt(4000)
    assert np.exp(ahead.log_density([[3.0]])).shape == (2, 1)
    chunk_ahead = fit.result_.model.structure.ahead(fit.result_.params.structure, lambda part: logb[part], _chunk(x, given))
    np.testing.assert_allclose(chunk_ahead[0], [0.7, 0.3], rtol=1e-12)
    np.testing.assert_allclose(chunk_ahead.sum(axis=1), 1.0)


def _chunk(x: np.ndarray, given: np.ndarray) -> Any:
    from estep.core.protocols import Chunk

    return Chunk(("rows", 0, len(x)), x, given, ends=np.array([len(x)]))


@pytest.mark.parametrize("start_gate", [False, True])
def test_draws_are_recovered(start_gate: bool) -> None:
    given = np.random.default_rng(2).normal(size=(1500, 1))
    model = truth(start_gate)
    x, z = model.sample(given, lengths=[5] * 300)
    fit = estep.InputOutputHMM(estep.Poisson(), 2, start_gate=start_gate, random_state=0, n_init=2).fit(
        x, covariates=given, lengths=[5] * 300
    )
    order = fit.rates_[:, 0].argsort()
    errors = fit.standard_errors(x, covariates=given, lengths=[5] * 300)
    moves, about = (v[order][:, order] for v in (fit.move_coefs_, errors["move_coefs"]))
    for i in (0, 1):
        # five standard errors in each of 4 coefficients: a false alarm in four hundred thousand
        assert (np.abs(moves[i, 1 - i] - COEFS[i, 1 - i]) < 5 * about[i, 1 - i]).all()
    if start_gate:
        slope = fit.start_coefs_[order[1], 1] - fit.start_coefs_[order[0], 1]
        assert abs(slope - 2.0) < 5 * np.nanmax(errors["start_coefs"])
    assert fit.log_likelihood_ > model.score(x, covariates=given, lengths=[5] * 300) * 1500 - 1e-6
    assert (order[fit.predict(x, covariates=given, lengths=[5] * 300)] == z).mean() > 0.9 or order[0] == 0


def test_gaps_weights_labels_and_fixed_entries_together() -> None:
    x, given, z = made()
    x[::7] = np.nan
    labels = np.where(np.random.default_rng(0).random(150) < 0.3, z, -1)
    held = np.full((2, 2, 2), np.nan)
    held[0, 1, 1] = 1.5
    settings = dict(fixed={"move_coefs": held}, prior={"startprob": 2.0}, random_state=0, n_init=1, tol=1e-10)
    fit = estep.InputOutputHMM(estep.Poisson(), 2, **settings).fit(
        x, labels, sample_weight=[2.0, 0.0, 1.0], covariates=given, lengths=LENGTHS
    )
    twice = np.r_[0:60, 0:60, 90:150]
    again = estep.InputOutputHMM(estep.Poisson(), 2, **settings).fit(
        x[twice], labels[twice], covariates=given[twice], lengths=[60, 60, 60]
    )
    assert fit.move_coefs_[0, 1, 1] == again.move_coefs_[0, 1, 1] == 1.5
    assert fit.log_likelihood_ == pytest.approx(again.log_likelihood_, abs=1e-6)
    known = labels >= 0
    assert (fit.predict(x, y=labels, covariates=given, lengths=LENGTHS)[known] == labels[known]).all()
    assert fit.startprob_.min() >= 1 / 5 - 1e-12  # one imagined start in each state beside three


def test_rows_with_equal_covariates_share_their_matrices() -> None:
    """A treatment with two levels: the same fit, two matrices in place of one a row."""
    x, _, _ = made()
    dose = (np.random.default_rng(3).random(150) < 0.5).astype(float)
    fit = estep.InputOutputHMM(estep.Poisson(), 2, random_state=0, n_init=2).fit(x, covariates=dose, lengths=LENGTHS)
    chunk = _chunk(x, dose[:, None])
    assert len(fit.result_.model.structure.rows_of(chunk).z) == 2
    jitter = dose + 1e-12 * np.arange(150)
    apart = estep.InputOutputHMM(estep.Poisson(), 2, random_state=0, n_init=2).fit(x, covariates=jitter, lengths=LENGTHS)
    assert len(apart.result_.model.structure.rows_of(_chunk(x, jitter[:, None])).z) == 150
    assert apart.log_likelihood_ == pytest.approx(fit.log_likelihood_, abs=1e-7)


def test_topologies_and_files(tmp_path: Path) -> None:
    x, given, _ = made()
    fit = fitted(topology="left-to-right", ridge=0.1)
    assert (fit.transmat(given)[:, 1] == [0.0, 1.0]).all()
    assert fit.startprob_.tolist() == [1.0, 0.0]
    assert fit.result_.n_free == 2 + 2
    fit.save(tmp_path / "io.estep")
    again = estep.load(tmp_path / "io.estep")
    how = {"covariates": given, "lengths": LENGTHS}
    assert again.score(x, **how) == fit.score(x, **how)
    assert again.covariate_names_.tolist() == ["c0"]
    assert "moves depend on c0" in fit.summary(x, **how)
    assert "0 -> 1" in fit.summary()
    assert fit.bic(x, **how) == pytest.approx(-2 * fit.score(x, **how) * 150 + 4 * np.log(150), rel=1e-10)
    assert fit.icl(x, **how) >= fit.bic(x, **how)
    assert fit.aic(x, **how) < fit.bic(x, **how)
    assert len(fit.plot(x, **how).axes) == 3
    assert fit.confint(x, **how)["move_coefs"].shape == (2, 2, 2, 2)


def test_errors_name_what_is_wrong() -> None:
    (x, given, _), fit = made(), truth()
    with pytest.raises(ValueError, match="method='best' is unknown"):
        fit.predict(x, covariates=given, method="best")
    with pytest.raises(ValueError, match="add up to the 3 rows of covariates"):
        fit.sample(given[:3], lengths=[2, 2])
    with pytest.raises(ValueError, match="forecast follows one sequence"):
        fit.forecast(np.split(x, 2), given[:1], covariates=np.split(given, 2))
    with pytest.raises(ValueError, match="topology='round' is unknown"):
        fitted(topology="round")
