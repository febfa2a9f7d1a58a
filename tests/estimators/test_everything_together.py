"""Missing entries, weights, labels, fixed entries and a prior together, for every exported family.

Weights are frequencies, so the fit to weighted rows must be the fit to the rows written out that often, pass by pass and up to
rounding; what is fixed does not move by a bit; labels, weights, gaps and the prior each change the fit, so that none of them
can be ignored unnoticed. Then the same from starts that the estimator finds itself, to the end.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import estep
from estep import families

PASSES = 6
N = 400
ROUNDING = 1e-7  # inner Newton iterations stop within it
SHARES = {2: [0.6, 0.4], 3: [0.5, 0.3, 0.2]}
# Regressions have priors on coefficients alone, and the only one of this case is the entry that is held.
UNMOVED_BY_PRIOR = {"ZeroResponse"}


def table():
    spec = importlib.util.spec_from_file_location("every_family", Path(__file__).parents[1] / "every_family.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["every_family"] = module
    spec.loader.exec_module(module)
    return module


EVERY = table()
EACH = pytest.mark.parametrize("case", EVERY.CASES, ids=lambda case: case.name)


# --- what is given ---


def given_rows(case):
    """Rows with gaps and one row of which nothing is known, their integer weights, and their permitted classes."""
    rng = np.random.default_rng([*map(ord, case.name)])
    labels = rng.choice(case.k, size=N, p=SHARES[case.k])
    x = EVERY.with_gaps(case, case.draw(labels, rng), 0.15, rng)
    nothing = x[1] if isinstance(x, tuple) else x
    nothing[3] = np.nan
    sets = np.ones((N, case.k), dtype=bool)
    sets[::4] = np.eye(case.k, dtype=bool)[labels[::4]]
    sets[::7] |= np.eye(case.k, dtype=bool)[(labels[::7] + 1) % case.k]
    return x, rng.integers(0, 4, N), sets


def written_out(x, weight):
    return tuple(np.repeat(part, weight, axis=0) for part in x) if isinstance(x, tuple) else np.repeat(x, weight, axis=0)


def held_of(case):
    """One parameter with one entry given and the others free."""
    name, index = case.held
    truth = np.array(case.truth[name], dtype=float)
    value = np.full(truth.shape, np.nan)
    value[index] = truth[index]
    return {name: value}


def estimator_of(case, **settings):
    if case.name == "WithNoise":
        return estep.GaussianMixture(case.k - 1, noise=case.family.density, **settings)
    regression = case.gaps == "response"
    return (estep.MixtureOfRegressions if regression else estep.Mixture)(case.family, case.k, **settings)


def fitted(case, x, weight=None, sets=None, **settings):
    model = estimator_of(case, random_state=0, **settings)
    rows = x if isinstance(x, tuple) else (x,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        return model.fit(*rows, sample_weight=weight, labels=sets)


def some_passes(case, x, weight=None, sets=None, prior="default", held=True):
    init = {"weights": SHARES[case.k], **case.truth}
    fixed = held_of(case) if held else None
    return fitted(case, x, weight, sets, init=init, fixed=fixed, prior=prior, max_iter=PASSES)


def numbers_of(model):
    """Every fitted parameter in one vector."""
    return np.concatenate([np.ravel(np.asarray(model.params_[name], dtype=float)) for name in sorted(model.params_)])


# --- the laws ---


@EACH
def test_weights_are_rows_written_out_whatever_else_there_is(case):
    x, weight, sets = given_rows(case)
    short = some_passes(case, x, weight, sets)
    long = some_passes(case, written_out(x, weight), None, np.repeat(sets, weight, axis=0))
    assert short.log_likelihood_ == pytest.approx(long.log_likelihood_, rel=ROUNDING)
    assert short.objective_ == pytest.approx(long.objective_, rel=ROUNDING)
    np.testing.assert_allclose(numbers_of(short), numbers_of(long), rtol=ROUNDING, atol=ROUNDING)


@EACH
def test_what_is_fixed_stays(case):
    x, weight, sets = given_rows(case)
    name, index = case.held
    model = some_passes(case, x, weight, sets)
    np.testing.assert_array_equal(np.asarray(model.params_[name])[index], np.array(case.truth[name], dtype=float)[index])
    free = some_passes(case, x, weight, sets, held=False)
    assert not np.allclose(np.asarray(free.params_[name])[index], np.array(case.truth[name], dtype=float)[index], rtol=1e-6)


@EACH
def test_nothing_is_ignored(case):
    """Each of the four changes the fit: labels, weights, gaps (the values beneath them differ), the prior."""
    x, weight, sets = given_rows(case)
    together = numbers_of(some_passes(case, x, weight, sets))
    others = {
        "labels": some_passes(case, x, weight, None),
        "weights": some_passes(case, x, None, sets),
        "gaps": some_passes(case, case_without_gaps(case), weight, sets),
    }
    if case.name not in UNMOVED_BY_PRIOR:
        others["prior"] = some_passes(case, x, weight, sets, prior=None)
    same = [what for what, model in others.items() if np.allclose(together, numbers_of(model), rtol=1e-9, atol=0.0)]
    assert same == []


def case_without_gaps(case):
    """The same rows with nothing deleted."""
    rng = np.random.default_rng([*map(ord, case.name)])
    labels = rng.choice(case.k, size=N, p=SHARES[case.k])
    return case.draw(labels, rng)


@EACH
def test_from_starts_of_its_own_to_the_end(case):
    x, weight, sets = given_rows(case)
    model = fitted(case, x, weight, sets, n_init=2, fixed=held_of(case), prior="default", tol=1e-6)
    assert model.converged_, model.status_
    name, index = case.held
    np.testing.assert_array_equal(np.asarray(model.params_[name])[index], np.array(case.truth[name], dtype=float)[index])
    assert model.result_.n == weight.sum()
    rows = x if isinstance(x, tuple) else (x,)
    resp = model.predict_proba(*rows, labels=sets)
    assert np.abs(resp.sum(axis=1) - 1.0).max() < 1e-12
    assert (resp[~sets] == 0).all()


def test_the_table_has_every_family():
    assert sorted(case.name for case in EVERY.CASES) == sorted(families.__all__)
