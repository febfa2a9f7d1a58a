"""Odd uses of methods and settings: words and names that are unknown, rows that are none, and what a summary says.

Every error names the argument, what was found and what would do; what is legal but odd works or says so.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import estep

NAN = np.nan
TEXTS = ["ACGTTGACATCGATT", "CCTTGACAGGATTAC", "GATTACTTGACACCC", "TTTTGACAGATTACA"]


def rows(n: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.vstack([rng.normal(size=(n // 2, 2)), 6 + rng.normal(size=(n // 2, 2))])


X = rows()


@pytest.fixture(scope="module")
def fit():
    return estep.GaussianMixture(2, random_state=0, n_init=1).fit(X)


# ---- methods of inference: unknown words -----------------------------------------------------------------------------

WORDS = [
    ("summary", lambda fit: fit.summary(X, errors="yes"), ValueError, ["errors='yes'", "'oakes'", "True"]),
    ("summary-rows", lambda fit: fit.summary(errors=True), ValueError, ["errors=True", "give X"]),
    ("summary-keyword", lambda fit: fit.summary(X, offset=1), TypeError, ["summary", "'offset'", "by", "level"]),
    ("confint-keyword", lambda fit: fit.confint(X, parameters=["means"]), TypeError, ["'parameters'", "which", "level"]),
    ("confint-which", lambda fit: fit.confint(X, which=3), ValueError, ["which", "3", "'means'"]),
    ("confint-method", lambda fit: fit.confint(X, method=["wald"]), ValueError, ["method=['wald']", "'profile'"]),
    ("confint-errors", lambda fit: fit.confint(X, errors="oaks"), ValueError, ["errors='oaks'", "'oakes'"]),
    ("profile-keyword", lambda fit: fit.confint(X, method="profile", steps=3), TypeError, ["'steps'", "max_iter"]),
    ("bca-keyword", lambda fit: fit.confint(X, method="bca", boots=3), TypeError, ["'boots'", "n_boot", "errors"]),
    ("errors-method", lambda fit: fit.standard_errors(X, method=None), ValueError, ["method=None", "'oakes'", "'bootstrap'"]),
    ("errors-keyword", lambda fit: fit.standard_errors(X, n_boot=9), TypeError, ["'oakes'", "'n_boot'", "clusters"]),
    ("bootstrap", lambda fit: fit.standard_errors(X, method="bootstrap", boots=9), TypeError, ["'boots'", "n_boot", "kind"]),
    ("wald-name", lambda fit: estep.wald_test(fit, X, lambda p: p["mean"]), ValueError, ["'mean'", "'means'", "'weights'"]),
    ("wald-text", lambda fit: estep.wald_test(fit, X, "means"), TypeError, ["function", "'means'", "lambda"]),
    ("wald-result", lambda fit: estep.wald_test(fit, X, lambda p: "a"), ValueError, ["number", "'a'"]),
    ("lr-number", lambda fit: estep.lr_test(fit, 3), TypeError, ["large", "fitted estimator", "int"]),
    ("lr-unfitted", lambda fit: estep.lr_test(estep.GaussianMixture(), fit), TypeError, ["small", "not fitted"]),
    ("blrt", lambda fit: estep.bootstrap_lrt(1, fit, X), TypeError, ["small and large", "estimators", "1"]),
    ("diagnose", lambda fit: fit.diagnose(X, errors="oakes"), TypeError, ["errors", "'oakes'", "standard_errors"]),
    ("diagnose-count", lambda fit: fit.diagnose(X, n_sim="a"), ValueError, ["n_sim", "integer", "'a'"]),
    ("to_frame", lambda fit: fit.to_frame(errors="oakes"), TypeError, ["errors", "standard_errors", "'oakes'"]),
    ("select", lambda fit: estep.select(estep.GaussianMixture, X, {"n_components": [1]}), TypeError, ["class", "call it"]),
    ("plot", lambda fit: fit.plot("rows.csv"), TypeError, ["path 'rows.csv'", "read it first"]),
    ("step", lambda fit: estep.GaussianMixture(2).fit(X).partial_fit(X, step="a"), ValueError, ["step='a'", "(0, 1]"]),
    ("sample", lambda fit: fit.sample(True), ValueError, ["n_samples", "integer", "True"]),
]


@pytest.mark.parametrize(("call", "error", "words"), [pytest.param(*case[1:], id=case[0]) for case in WORDS])
def test_words_and_names_that_are_unknown(fit, call, error, words):
    with pytest.raises(error) as caught:
        call(fit)
    assert type(caught.value) is error
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"


def test_a_summary_takes_the_method_of_its_standard_errors(fit):
    assert fit.summary(X, errors="opg") == fit.summary(X, errors=fit.standard_errors(X, method="opg"))
    assert fit.summary(X, errors=True) != fit.summary(X)
    frame = fit.to_frame(X, errors="opg")
    pd.testing.assert_frame_equal(frame, fit.to_frame(errors=fit.standard_errors(X, method="opg")))


def test_errors_by_a_name_that_is_none(fit):
    with pytest.raises(KeyError, match="none of the parameters; there are"):
        fit.standard_errors(X)["mean"]


def test_other_rows_are_said_first(fit):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = fit.standard_errors(X[:10])
        fit.influence(X[:10])
    assert "not the rows of the fit" in found.notes[0] and "weight 10, the fit's" in found.notes[0]
    assert str(told[0].message) == f"standard_errors: {found.notes[0]}"
    assert f"influence: {found.notes[0]}" in [str(each.message) for each in told]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not fit.standard_errors(X[::-1]).cautions


def test_a_regression_is_not_judged_without_responses():
    rng = np.random.default_rng(1)
    design = rng.normal(size=(60, 1))
    y = np.where(np.arange(60) % 2, 2.0, -2.0) * design[:, 0] + 0.3 * rng.normal(size=60)
    model = estep.MixtureOfRegressions(n_components=2, n_init=1, random_state=0).fit(design, y)
    for call in (model.score, model.bic, model.standard_errors, model.summary, model.diagnose):
        with pytest.raises(ValueError, match="y is missing"):
            call(design)
    assert "ICL" in model.summary(design, y) and "other rows" not in model.summary(design, y)
    assert model.predict(design).shape == (60,) and model.predict_proba(design).shape == (60, 2)
    assert model.score(design, np.full(60, NAN)) == 0.0  # said to be missing


# ---- rows ------------------------------------------------------------------------------------------------------------

NO_ROWS = [
    ("generator", (row for row in X), TypeError, ["generator", "list(X)"]),
    ("dict", {"a": [1.0, 2.0]}, TypeError, ["dict", "DataFrame"]),
    ("set", {1.0, 2.0}, TypeError, ["set", "order"]),
    ("none", None, TypeError, ["X must hold rows", "NoneType"]),
    ("empty", [], ValueError, ["X", "empty list"]),
    ("times", np.array([["2020-01-01"], ["2020-01-02"]], dtype="M8[D]"), ValueError, ["X", "times"]),
    ("twins", pd.DataFrame(X, columns=["a", "a"]), ValueError, ["X", "'a'", "rename"]),
    ("ragged", [[0.0, 1.0], [2.0]], ValueError, ["ragged", "X[0] has 2", "X[1] has 1"]),
]


@pytest.mark.parametrize("make", [estep.GaussianMixture, estep.KMeans, estep.GaussianHMM], ids=lambda make: make.__name__)
@pytest.mark.parametrize(("found", "error", "words"), [pytest.param(*case[1:], id=case[0]) for case in NO_ROWS])
def test_what_holds_no_rows(refused, make, found, error, words):
    refused(make(2), words, found, error=error)


def test_sequences_and_letters_in_lists(refused):
    chain = estep.CategoricalHMM(2)
    refused(estep.GaussianHMM(2), ["ragged", "sequences", "list of arrays"], [[0.0, 1.0], [2.0]])
    refused(chain, ["1D array", "40 texts", "(-1, 1)"], list("abab" * 10))
    refused(chain, ["1D array", "np.array(list(text))"], ["abab", "baba"])
    refused(chain, ["ragged", "list of arrays"], [list("abab"), list("abb")])
    refused(estep.MarkovChain(), ["mixes text and numbers", "row 0 holds 0"], [0, "a", 1])
    refused(estep.MarkovChain(states=3), ["states", "list", "3"], list("ab"), error=TypeError)
    refused(estep.MarkovChain(prior=dict(strength=1)), ["prior", "'strength'", "'transmat'"], list("ab"))
    refused(estep.SaturatedMultinomial(), ["column 'x1'", "no observed"], np.column_stack([[0.0, 1.0], [NAN, NAN]]))
    refused(estep.CensoredNormal(), ["upper", "interval"], np.arange(5.0), upper=np.arange(5.0))


def test_settings_of_sequences(refused):
    refused(estep.FactorialHMM((2, 2)), ["family", "tuple", "(2, 2)", "instance"], X, error=TypeError)
    refused(estep.FactorialHMM(chains=(2, 2)), ["column 0", "constant"], np.ones((20, 1)))
    refused(estep.FactorialHMM(chains=(2, 2)), ["product of chains=4", "3 rows"], X[:3])
    refused(estep.GMMHMM(2, n_mix=0), ["n_mix", ">= 1", "0"], X)
    refused(estep.GaussianHMM(2, accelerate=True), ["accelerate=True", "'auto'", "'anderson'", "None"], X)
    refused(estep.GaussianHMM(2, progress="yes"), ["progress", "True or False", "'yes'"], X)
    for strange in ("a", 1.5, [0, -1]):
        refused(estep.GaussianHMM(2, absorbing=strange), ["absorbing", "integer >= 0"], X)
    refused(estep.GaussianHMM(2), ["sample_weight", "numbers", "'a'"], X, sample_weight="a")
    refused(estep.MixtureOfExperts(n_components=2, groups="a"), ["groups", "'a'"], X, X[:, 0])
    refused(estep.SaturatedMultinomial(margins=3), ["margins", "3"], (X > 3).astype(int))
    refused(estep.FactorAnalysis(1, floor="a"), ["floor", "'a'", "between 0 and 1"], X)
    with pytest.raises(TypeError, match=r"segment_image takes no 'n_components'.*max_iter"):
        estep.segment_image(np.eye(4), n_components=3)
    for none in (None, np.False_):
        assert estep.GaussianMixture(2, accelerate=none, random_state=0, n_init=1).fit(X).converged_
    for one in (1, range(1, 2), np.array(1), np.array([1])):
        assert estep.GaussianHMM(2, absorbing=one, random_state=0, n_init=1).fit(X).transmat_[1, 1] == 1.0


def test_a_chain_may_have_more_states_than_symbols():
    rng = np.random.default_rng(0)
    moves, shown, state = [[0.9, 0.1, 0.0], [0.0, 0.9, 0.1], [0.1, 0.0, 0.9]], [0.05, 0.5, 0.95], 0
    seen = []
    for _ in range(300):
        state = rng.choice(3, p=moves[state])
        seen.append([int(rng.random() < shown[state])])
    two, three = (estep.CategoricalHMM(k, random_state=0, n_init=4).fit(seen) for k in (2, 3))
    assert three.converged_ and three.log_likelihood_ > two.log_likelihood_ + 1.0
    assert "random" in [row.start for row in three.starts_.rows]  # in place of rules that draw rows
    with pytest.raises(ValueError, match="2 distinct rows"):  # rows alone cannot tell three components apart
        estep.LatentClass(3).fit(seen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estep.CategoricalHMM(2, random_state=0, n_init=1).fit([[0]] * 20)  # one symbol


# ---- motifs and alignments -------------------------------------------------------------------------------------------


def test_motifs_beyond_the_room_left_are_not_lost(refused):
    with pytest.warns(UserWarning, match=r"4 of n_motifs=9 motifs were found.*no room for more.*width=6") as told:
        found = estep.MotifFinder(6, n_motifs=9, n_init=2, random_state=0).fit(TEXTS)
    assert len(found.motifs_) == 4 and found.consensus_ == "TTGACA" and len(told) == 1
    refused(estep.MotifFinder(60), ["width=60", "longest has 15"], TEXTS)


def test_sequences_of_letters_that_are_none(refused):
    refused(estep.MotifFinder(3), ["'ACGT'", "no file", "[X]"], "ACGT")
    refused(estep.AlignmentHMM(), ["sequence 0", "several texts", "'A', 'C'"], [list("ACGT")], error=TypeError)
    refused(estep.AlignmentHMM(), ["width=4", "sequence 0 is shorter than 6 letters"], ["AC"])
    fit = estep.AlignmentHMM(4, random_state=0, n_init=2).fit(TEXTS)
    for call in (fit.align, fit.predict, fit.score):
        with pytest.raises(ValueError, match="sequence 1 is shorter than 6 letters, the block of 4 and one on either side"):
            call([TEXTS[0], "AC"])


# ---- what a summary says ---------------------------------------------------------------------------------------------


def test_a_summary_counts_rows_and_blank_steps_apart(tmp_path):
    x, time = X[:, :1], np.delete(np.arange(43), [5, 6, 20])
    fit = estep.GaussianHMM(2, random_state=0, n_init=1).fit(x, time=time)
    words = "43 time steps: 40 rows given, 3 blank steps filled in"
    assert fit.blank_rows_ == 3 and words in fit.summary()
    assert "other rows" not in fit.summary(x, time=time) and "other rows" in fit.summary(x[:30], time=time[:30])
    fit.save(tmp_path / "fit.safetensors")
    assert words in estep.load(tmp_path / "fit.safetensors").summary()
    fit.fit(x)
    assert not hasattr(fit, "blank_rows_") and "blank" not in fit.summary()


def test_a_summary_shows_durations_and_moves():
    rng = np.random.default_rng(0)
    x = (np.where((np.arange(120) // 12) % 2 == 1, 4.0, 0.0) + rng.normal(size=120))[:, None]
    semi = estep.SemiMarkovHMM(estep.Normal(), 2, max_duration=20, random_state=0, n_init=1).fit(x)
    lines = {line.split("  ")[0]: line.split()[-2:] for line in semi.summary().splitlines()}
    table = semi.durations_
    assert lines["rows it lasts (mean)"] == [f"{m:.4f}" for m in table @ np.arange(1, 21) / table.sum(axis=1)]
    assert np.allclose([float(v) for v in lines["duration_rates"]], semi.duration_rates_.ravel(), atol=1e-2)
    gated = estep.InputOutputHMM(estep.Normal("EII"), 2, random_state=0, n_init=1, ridge=1.0).fit(x, covariates=x[::-1])
    assert "intercept" in gated.summary() and "move_coefs" not in gated.summary()


def test_every_summary_reads_rows():
    normal, one = estep.MultivariateNormal().fit(X), estep.CensoredNormal().fit(X[:, 0])
    assert normal.summary(X).count("mean") == 1 and f"ICL              {normal.bic(X):.4f}" in normal.summary(X)
    assert "ICL" in one.summary(X[:, 0]) and "other rows" not in one.summary(X[:, 0])
    experts = estep.MixtureOfExperts("logistic", n_components=2, ridge=1.0, gate_ridge=1.0, tol=1e-2, random_state=0, n_init=1)
    y = (np.arange(40) % 3 == 0).astype(int)
    sizes = np.bincount(experts.fit(X[:, :1], y).posterior(X[:, :1], y).argmax(axis=1), minlength=2)
    line = next(line for line in experts.summary(X[:, :1], y).splitlines() if line.startswith("rows (most probable)"))
    assert [int(v) for v in line.split()[-2:]] == sizes.tolist()


def test_a_summary_says_where_a_student_law_is_normal():
    normal = estep.Mixture(estep.Student(), 1, random_state=0).fit(np.random.default_rng(3).uniform(size=(60, 1)))
    heavy = estep.Mixture(estep.Student(), 1, random_state=0).fit(np.random.default_rng(3).standard_t(3, size=(200, 1)))
    assert "practically normal" in normal.summary() and "practically normal" not in heavy.summary()


def test_a_tree_for_many_columns_is_said_to_be_slow():
    table = np.random.default_rng(0).normal(size=(60, 7))
    with pytest.warns(UserWarning, match="at most 6 columns, and X has 7.*slower"):
        many = estep.GaussianMixture(1, algorithm="kdtree", accelerate="none").fit(table)
    assert "X has 7" in many.result_.explain()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        few = estep.GaussianMixture(1, algorithm="kdtree", accelerate="none").fit(table[:, :2])
    assert "all of them are read" in few.result_.explain()


# ---- files -----------------------------------------------------------------------------------------------------------


def test_paths_that_are_none(fit, tmp_path):
    for path, error, words in (
        (None, TypeError, "got None"),
        ("", TypeError, "got ''"),
        (tmp_path, IsADirectoryError, "is a folder"),
    ):
        with pytest.raises(error, match=words):
            fit.save(path)
        with pytest.raises(error, match=words):
            estep.load(path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        fit.save(tmp_path / "none" / "m.safetensors")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        estep.load(tmp_path / "none.safetensors")
