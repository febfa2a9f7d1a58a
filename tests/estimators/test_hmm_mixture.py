"""Mixtures of hidden Markov models: enumeration over classes and paths, models that they reduce to, known classes, files."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import poisson

import estep
from estep.families.poisson import Poisson, PoissonParams
from estep.families.repeated import Repeated
from estep.structures import topology
from estep.structures.chain import Chain, ChainParams
from estep.testing import check_family, structure_case
from estep.testing.structure import STRUCTURE_LAWS

WEIGHTS = np.array([0.7, 0.3])
STARTS = np.array([[0.6, 0.4], [0.1, 0.9]])
MOVES = np.array([[[0.8, 0.2], [0.3, 0.7]], [[0.4, 0.6], [0.5, 0.5]]])
RATES = np.array([[1.0, 6.0], [2.0, 12.0]])


def held(shared: bool = False, **settings: Any) -> Any:
    """A mixture whose parameters are all fixed."""
    moves = np.zeros((4, 4))
    moves[:2, :2], moves[2:, 2:] = MOVES
    fixed = {"startprob": (WEIGHTS[:, None] * STARTS).ravel(), "transmat": moves}
    fixed["rates"] = RATES[0][:, None] if shared else RATES.reshape(4, 1)
    return estep.HMMMixture(estep.Poisson(), 2, 2, shared=shared, fixed=fixed, n_init=1, random_state=0, **settings)


def of_class(c: int, x: np.ndarray, rates: np.ndarray) -> float:
    """log p(x | class), all paths added up; NaN is missing."""
    logs = []
    for path in itertools.product(range(2), repeat=len(x)):
        log = np.log(STARTS[c, path[0]]) + sum(np.log(MOVES[c, i, j]) for i, j in itertools.pairwise(path))
        logs.append(log + sum(poisson.logpmf(v, rates[c, z]) for v, z in zip(x, path, strict=True) if not np.isnan(v)))
    return float(logsumexp(logs))


def drawn(seed: int, count: int, length: int) -> tuple[list[np.ndarray], np.ndarray]:
    rng, sequences, classes = np.random.default_rng(seed), [], []
    for _ in range(count):
        c = int(rng.random() < WEIGHTS[1])
        z, x = int(rng.random() < STARTS[c, 1]), []
        for _ in range(length):
            x.append(float(rng.poisson(RATES[c, z])))
            z = int(rng.random() < MOVES[c, z, 1])
        sequences.append(np.array(x)[:, None])
        classes.append(c)
    return sequences, np.array(classes)


@pytest.mark.parametrize("shared", [False, True])
def test_gaps_weights_and_known_classes_against_enumeration(shared: bool) -> None:
    sequences = drawn(0, 3, 4)[0] + drawn(1, 1, 1)[0]
    sequences[0][2], sequences[1][0] = np.nan, np.nan
    rates = RATES[[0, 0]] if shared else RATES
    each = np.array([[np.log(WEIGHTS[c]) + of_class(c, x[:, 0], rates) for c in (0, 1)] for x in sequences])
    fit = held(shared).fit(sequences, sample_weight=[1.0, 2.0, 0.5, 1.0])
    assert fit.log_likelihood_ == pytest.approx(np.array([1.0, 2.0, 0.5, 1.0]) @ logsumexp(each, axis=1), rel=1e-12)
    np.testing.assert_allclose(
        fit.predict_proba(sequences), np.exp(each - logsumexp(each, axis=1)[:, None]), rtol=1e-9, atol=1e-12
    )
    assert fit.predict(sequences).tolist() == each.argmax(axis=1).tolist()
    known = held(shared).fit(sequences, y=[-1, 1, 0, -1])
    expected = logsumexp(each[0]) + each[1, 1] + each[2, 0] + logsumexp(each[3])
    assert known.log_likelihood_ == pytest.approx(expected, rel=1e-12)


# --- the structure ---


def log_prior(params: ChainParams, path: NDArray[np.intp], ends: NDArray[np.intp]) -> float:
    with np.errstate(divide="ignore"):
        start, moves = np.log(params.startprob), np.log(params.transmat)
    value, k = 0.0, len(start)
    for a, z in zip([0, *ends[:-1]], ends, strict=True):
        value += start[path[a]] + sum(moves[i, j] for i, j in itertools.pairwise(path[a:z]))
        value += moves[path[z - 1], k] if moves.shape[1] > k else 0.0
    return float(value)


@pytest.mark.parametrize(
    "chain",
    [Chain(blocks=2), Chain("left-to-right", blocks=2), Chain(absorbing=(1,), blocks=2), Chain(end=True, blocks=2)],
    ids=str,
)
def test_structure_laws_of_blocks(chain: Chain) -> None:
    ends = np.array([3, 4])
    case = structure_case(chain, 4, n=4, ends=ends, log_prior_of_path=lambda p, path: log_prior(p, path, ends))
    for law in STRUCTURE_LAWS:
        if not (chain.end and law.__name__ == "samples_follow_the_prior"):  # lengths are given, and not drawn
            law(case)
    assert (chain.start(4).transmat[:2, 2:4] == 0).all()
    assert (chain.start(4).transmat[2:, :2] == 0).all()


def test_blocks_are_of_one_size() -> None:
    with pytest.raises(ValueError, match="5 states cannot be shared out equally among blocks=2"):
        Chain(blocks=2).start(5)


def test_a_mixture_whose_sequences_change_class_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted bug: blocks forgotten, so that moves lead from class to class."""
    monkeypatch.setattr(topology, "_blocks", lambda chain: 1)
    with pytest.raises(AssertionError):
        test_structure_laws_of_blocks(Chain(blocks=2))


def test_components_that_share_parameters_are_a_family() -> None:
    x = np.random.default_rng(0).poisson(3.0, size=(40, 1)).astype(float)
    x[3] = np.nan
    check_family(Repeated(Poisson(), 2, 2), x, k=4)


def test_the_laws_catch_statistics_of_one_copy_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Repeated, "_summed", lambda self, resp: resp[:, : self.m])
    with pytest.raises(AssertionError):
        test_components_that_share_parameters_are_a_family()


def test_copies_are_renamed_together_only() -> None:
    family, params = Repeated(Poisson(), 2, 2), PoissonParams(np.array([[1.0], [2.0]]))
    assert family.permute(params, np.array([3, 2, 1, 0])).rates.tolist() == [[2.0], [1.0]]
    with pytest.raises(ValueError, match="renamed together only"):
        family.permute(params, np.array([0, 1, 3, 2]))


# --- what it reduces to ---


def test_one_class_is_a_hidden_markov_model() -> None:
    sequences = drawn(3, 8, 20)[0]
    settings = dict(random_state=0, n_init=2, tol=1e-11)
    mixture = estep.HMMMixture(estep.Poisson(), 1, 2, **settings).fit(sequences)
    plain = estep.HMM(estep.Poisson(), 2, **settings).fit(sequences)
    assert mixture.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-7)
    assert mixture.result_.n_free == plain.result_.n_free
    np.testing.assert_allclose(mixture.transmat_[0], plain.transmat_, atol=1e-3)
    assert mixture.weights_.tolist() == [pytest.approx(1.0)]


def test_with_every_class_known_each_is_fitted_alone() -> None:
    sequences, classes = drawn(4, 20, 15)
    settings = dict(random_state=0, n_init=3, tol=1e-11)
    mixture = estep.HMMMixture(estep.Poisson(), 2, 2, **settings).fit(sequences, y=classes)
    alone = [
        estep.HMM(estep.Poisson(), 2, **settings).fit([x for x, c in zip(sequences, classes, strict=True) if c == j])
        for j in (0, 1)
    ]
    counts = np.bincount(classes)
    expected = sum(fit.log_likelihood_ for fit in alone) + counts @ np.log(counts / 20)
    assert mixture.log_likelihood_ == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(mixture.weights_, counts / 20, rtol=1e-9)
    for j in (0, 1):
        np.testing.assert_allclose(np.sort(mixture.rates_[j, :, 0]), np.sort(alone[j].rates_[:, 0]), atol=1e-3)


def test_one_state_a_class_is_a_mixture_of_totals() -> None:
    """Rows of a class are then independent, and a sequence's total is Poisson: a mixture by hand."""
    rng = np.random.default_rng(5)
    sequences = [rng.poisson(rng.choice([2.0, 7.0]), size=(5, 1)).astype(float) for _ in range(40)]
    fit = estep.HMMMixture(estep.Poisson(), 2, 1, random_state=0, n_init=4, tol=1e-12).fit(sequences)
    totals = np.array([x.sum() for x in sequences])[:, None]
    plain = estep.Mixture(estep.Poisson(), 2, random_state=0, n_init=4, tol=1e-12).fit(totals)
    np.testing.assert_allclose(np.sort(fit.rates_[:, 0, 0]) * 5, np.sort(plain.rates_[:, 0]), rtol=1e-4)
    np.testing.assert_allclose(np.sort(fit.weights_), np.sort(plain.weights_), rtol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_a_class_is_the_same_in_every_row_of_a_sequence(seed: int) -> None:
    sequences = drawn(seed, 4, 3)[0]
    fit = HELD
    proba = fit.predict_proba(sequences)
    ahead = fit.forecast(sequences, 2).states.reshape(4, 2, 2, 2).sum(axis=3)
    np.testing.assert_allclose(ahead, np.repeat(proba[:, None], 2, axis=1), rtol=1e-9, atol=1e-12)
    classes, states = fit.decode(sequences)
    assert classes.shape == (4,)
    assert set(states.tolist()) <= {0, 1}


HELD = held().fit(drawn(0, 4, 4)[0])


# --- recovery, input, files ---


@pytest.mark.parametrize("shared", [False, True])
def test_classes_are_recovered(shared: bool) -> None:
    model = held(shared).fit(drawn(0, 2, 5)[0])
    rows, classes = model.sample(lengths=[40] * 60)
    sequences = np.split(rows, 60)
    fit = estep.HMMMixture(estep.Poisson(), 2, 2, shared=shared, random_state=0, n_init=6).fit(sequences)
    assert fit.converged_
    assert fit.log_likelihood_ > model.score(sequences) * 2400 - 1e-6  # at least the truth
    agree = (fit.predict(sequences) == classes).mean()
    assert max(agree, 1 - agree) > 0.9
    assert fit.weights_[0] >= fit.weights_[1]
    shape = (2, 1) if shared else (2, 2, 1)
    assert fit.rates_.shape == shape
    assert fit.transmat_.shape == (2, 2, 2)
    np.testing.assert_allclose(fit.transmat_.sum(axis=2), 1.0)
    np.testing.assert_allclose(fit.startprob_.sum(axis=1), 1.0)
    share = fit.result_.model.structure.overall(fit.result_.params.structure).reshape(2, 2)
    assert (np.diff(share.sum(axis=0) if shared else share) <= 1e-12).all()
    assert fit.standard_errors(sequences)["transmat"].shape == (2, 2, 2)


def test_every_way_in_and_the_other_doors(tmp_path: Path) -> None:
    sequences, classes = drawn(6, 12, 12)
    settings = dict(random_state=0, n_init=3)
    fit = estep.HMMMixture(estep.Poisson(), 2, 2, **settings).fit(sequences)
    ids = np.repeat([f"s{i}" for i in range(12)], 12)
    table = pd.DataFrame({"id": ids, "t": np.tile(np.arange(12), 12), "x": np.concatenate(sequences)[:, 0]})
    again = estep.HMMMixture(estep.Poisson(), 2, 2, **settings).fit(table, sequence="id", time="t")
    assert again.log_likelihood_ == pytest.approx(fit.log_likelihood_, rel=1e-12)
    assert again.predict(table, sequence="id", time="t").tolist() == fit.predict(sequences).tolist()
    apart = np.argsort(np.tile(np.arange(12), 12), kind="stable")  # rows of all sequences in turn
    found = fit.decode(np.concatenate(sequences)[apart], sequence=ids[apart])
    assert found[0].tolist() == fit.decode(sequences)[0].tolist()
    assert found[1].tolist() == fit.decode(sequences)[1][apart].tolist()
    named = estep.HMMMixture(estep.Poisson(), 2, 2, **settings).fit(
        sequences, y=np.array(["low", "high"])[classes].astype(object)
    )
    assert named.classes_.tolist() == ["high", "low"]
    begun = estep.HMMMixture(estep.Poisson(), 2, 2, init=classes, **settings).fit(sequences)
    assert begun.log_likelihood_ == pytest.approx(fit.log_likelihood_, abs=1e-4)
    fit.save(tmp_path / "mixture.estep")
    loaded = estep.load(tmp_path / "mixture.estep")
    assert loaded.score(sequences) == fit.score(sequences)
    assert loaded.rates_.tolist() == fit.rates_.tolist()
    assert loaded.weights_.tolist() == fit.weights_.tolist()
    assert "mixture of 2 hidden Markov models, 2 states each" in fit.summary(sequences)
    assert "sequences (most probable)" in fit.summary(sequences)
    assert [axes.get_title() for axes in fit.plot().axes][0].startswith("class 0, weight")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estep.HMMMixture(estep.Poisson(), 2, 2, topology="left-to-right", end=True, **settings).fit(sequences[:4])


def test_errors_name_what_is_wrong() -> None:
    sequences = drawn(6, 3, 5)[0]
    with pytest.raises(ValueError, match="n_components=4 but X has only 3 sequences"):
        estep.HMMMixture(estep.Poisson(), 4, 1).fit(sequences)
    with pytest.raises(ValueError, match=r"y has shape \(2,\), expected \(3,\)"):
        estep.HMMMixture(estep.Poisson(), 2, 1).fit(sequences, y=[0, 1])
    with pytest.raises(ValueError, match="y holds the class 2"):
        estep.HMMMixture(estep.Poisson(), 2, 1).fit(sequences, y=[0, 1, 2])
    with pytest.raises(ValueError, match="init holds classes of sequences"):
        estep.HMMMixture(estep.Poisson(), 2, 1, init=[0, 1, 5]).fit(sequences)
