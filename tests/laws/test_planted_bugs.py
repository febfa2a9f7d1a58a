"""Every law catches a bug planted for it: a part that is right except in one place.

An unaltered wrapper passes every law, so what is caught is the bug. Those of models are in ``test_planted_model_bugs.py``.
"""

import dataclasses
import types

import numpy as np
import pytest

from estep.core.assign import HARD, SOFT
from estep.core.support import Constraints
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.structures.iid import Iid, IidCounts, IidParams
from estep.testing import (
    FAMILY_LAWS,
    STRUCTURE_LAWS,
    altered,
    check_family,
    check_structure,
    family_case,
    structure_case,
)

N = 45


def rows(gaps=False):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(N, 2)) @ [[1.0, 0.5], [0.0, 0.8]] + 2.0 * (np.arange(N) % 3)[:, None]
    x[rng.random(x.shape) < (0.25 if gaps else 0.0)] = np.nan
    return x


def one_more_coordinate(part, *args):
    """A support that miscounts."""
    support = part.support(*args)
    return types.SimpleNamespace(
        entries=support.entries,
        count=support.count + 1,
        check=support.check,
        pack=support.pack,
        unpack=support.unpack,
        pull=support.pull,
    )


def test_an_unaltered_wrapper_passes():
    check_family(altered(Normal("VVV")), rows(), k=3)
    check_family(altered(Normal("VVV")), rows(True), k=3)
    check_structure(altered(Iid()), 3, n=4)


# --- families ---


def larger(params, factor):
    return NormalParams(params.means, params.covariances * factor)


def whole_block_fit(part, stats, params, support):
    """Divisor n - 1 in place of n."""
    return larger(part.fit(stats, params, support), N / 3 / (N / 3 - 1))


def fit_in_place(part, stats, params, support):
    fitted = part.fit(stats, params, support)
    params.means[...] = fitted.means
    return fitted


def stats_in_place(part, params, encoded, resp):
    resp *= 0.5
    return part.stats(params, encoded, resp)


def of_last_row_too_little(part, params, encoded, resp):
    resp = resp.copy()
    resp[-1] = 0.0
    return part.stats(params, encoded, resp)


def about_its_own_mean(part, params, encoded, resp):
    """Moments about an anchor that depends on the chunk."""
    stats = part.stats(params, encoded, resp)
    return dataclasses.replace(stats, anchor=stats.anchor + resp.sum())


def log_determinant(params):
    return 0.5 * np.linalg.slogdet(params.covariances)[1]


def normalised_again(part, params, encoded, resp):
    return part.stats(params, encoded, resp / np.maximum(resp.sum(axis=1, keepdims=True), 1e-300))


def zero_filled(part, params, encoded, resp):
    """Missing entries become their conditional means, without the conditional covariance: regression imputation."""
    stats = part.stats(params, encoded, resp)
    features = stats.features.copy()
    features[:, -1] *= 0.95
    return dataclasses.replace(stats, features=features)


FIXED_MEAN = Constraints({"means": np.array([[0.5, np.nan], [np.nan, np.nan], [np.nan, np.nan]])})


def family(gaps=False, constraints=None, **changes):
    def make():
        right = family_case(Normal("VVV"), rows(gaps), k=3, labels=np.arange(N) % 3)
        means = right.params.means.copy()
        if constraints:
            means[0, 0] = 0.5
        params = NormalParams(means, right.params.covariances)
        support = right.family.support(params, constraints or Constraints())
        wrong = altered(right.family, **changes)
        if "support" in changes:
            support = wrong.support(params, constraints or Constraints())
        return dataclasses.replace(right, family=wrong, params=params, support=support)

    return make


FAMILY_BUGS = {
    "the_start_is_legal": {
        "covariances of zero": family(start=lambda part, k: larger(part.start(k), 0.0)),
        "a field missing": family(names=("means", "covariances", "dofs")),
    },
    "slices_encode": {
        "the density depends on the size of the block": family(
            log_density=lambda part, p, e: part.log_density(p, e) - 0.01 * np.log(e.n)
        ),
        "components on the first axis": family(log_density=lambda part, p, e: part.log_density(p, e).T),
    },
    "rows_stand_alone": {
        "densities centred in the block": family(
            log_density=lambda part, p, e: part.log_density(p, e) - 1e-6 * part.log_density(p, e).mean()
        ),
        "each row also sees the one before": family(
            log_density=lambda part, p, e: part.log_density(p, e) + 1e-6 * np.roll(part.log_density(p, e), 1, axis=0)
        ),
    },
    "rows_add": {
        "the last row of a block is forgotten": family(stats=of_last_row_too_little),
        "the anchor depends on the chunk": family(stats=about_its_own_mean),
    },
    "weight_two_is_seen_twice": {
        "weights are forgotten": family(stats=normalised_again),
        "weights are rounded": family(stats=lambda part, p, e, r: part.stats(p, e, np.minimum(r, 1.0))),
    },
    "statistics_scale": {
        "weights are squared": family(stats=lambda part, p, e, r: part.stats(p, e, r**2)),
        "q has a constant": family(q=lambda part, p, s: part.q(p, s) + 1.0),
    },
    "q_is_weighted_log_density": {
        "the density drops the log-determinant": family(
            log_density=lambda part, p, e: part.log_density(p, e) + log_determinant(p)
        ),
        "q forgets the normalising constant": family(q=lambda part, p, s: part.q(p, s) + s.count.sum() * np.log(2 * np.pi)),
    },
    "q_has_the_slope_of_the_likelihood": {
        "the density drops the log-determinant": family(
            log_density=lambda part, p, e: part.log_density(p, e) + log_determinant(p)
        ),
        "imputed values are taken for observed ones": family(gaps=True, stats=zero_filled),
    },
    "fit_maximises_q": {
        "the divisor is n - 1": family(fit=whole_block_fit),
        "means are not updated": family(fit=lambda part, s, p, u: NormalParams(p.means, part.fit(s, p, u).covariances)),
        "the start is returned": family(fit=lambda part, s, p, u: p),
    },
    "fit_moves_only_what_is_free": {
        "fixed entries are fitted too": family(
            constraints=FIXED_MEAN,
            fit=lambda part, s, p, u: part.fit(s, p, part.support(p, Constraints())),
        ),
    },
    "score_is_the_gradient_of_q": {
        "the wrong sign": family(score=lambda part, p, s, u: -part.score(p, s, u)),
        "one coordinate is twice too large": family(
            score=lambda part, p, s, u: part.score(p, s, u) * np.where(np.arange(u.count) == 7, 2.0, 1.0)
        ),
    },
    "support_goes_there_and_back": {
        "the count is one too large": family(support=one_more_coordinate),
    },
    "unit_scores_add_up": {
        "responsibilities are left out": family(
            unit_scores=lambda part, p, e, r, u: part.unit_scores(p, e, np.ones_like(r), u)
        ),
        "every row has the mean score": family(
            unit_scores=lambda part, p, e, r, u: np.tile(part.unit_scores(p, e, r, u).mean(axis=0), (e.n, 1))
        ),
    },
    "components_permute": {
        "only the means are permuted": family(permute=lambda part, p, order: NormalParams(p.means[order], p.covariances)),
        "the inverse order": family(permute=lambda part, p, order: part.permute(p, np.argsort(order))),
    },
    "samples_follow_the_density": {
        "a row too few": family(sample=lambda part, p, labels, rng: part.sample(p, labels, rng)[:-1]),
        "variances in place of deviations": family(
            sample=lambda part, p, labels, rng: part.sample(larger(p, 1.3), labels, rng)
        ),
        "labels are ignored": family(sample=lambda part, p, labels, rng: part.sample(p, rng.permutation(labels), rng)),
    },
    "missing_rows_say_nothing": {
        "a missing row has a density": family(log_density=lambda part, p, e: part.log_density(p, e) - 0.1 * (e.n == 1)),
        "a missing row is taken for a row at the mean": family(
            stats=lambda part, p, e, r: part.stats(p, part.encode(np.nan_to_num(rows_of(part, e))), r)
        ),
    },
    "one_component_is_maximum_likelihood": {
        "the divisor is n - 1": family(fit=whole_block_fit),
    },
    "parameters_are_not_changed": {
        "fit writes into its start": family(fit=fit_in_place),
        "stats write into the responsibilities": family(stats=stats_in_place),
    },
}


def rows_of(part, encoded):
    """The rows of an encoded block of a normal family."""
    x = np.full((encoded.n, part.anchor.size), np.nan)
    for pattern in encoded.patterns:
        kept = np.arange(encoded.n)[pattern.rows]
        x[np.ix_(kept, pattern.observed)] = pattern.z.T + part.anchor[list(pattern.observed)]
    return x


# --- structures ---


def inferred(change):
    """A structure whose ``infer`` has its answer changed by ``change(counts, objective, loglik)``."""
    return lambda part, *args: change(*part.infer(*args))


def without_weight(part, params, logb, chunk, assign, collect):
    return part.infer(params, logb, dataclasses.replace(chunk, weight=None), assign, collect)


def collected(change):
    """A structure that hands changed responsibilities on."""

    def infer(part, params, logb, chunk, assign, collect):
        return part.infer(params, logb, chunk, assign, lambda rows, resp: collect(rows, change(resp)))

    return infer


def collects_twice(part, params, logb, chunk, assign, collect):
    def twice(rows, resp):
        collect(rows, resp)
        collect(rows, resp)

    return part.infer(params, logb, chunk, assign, twice)


def structure(**changes):
    def make():
        right = structure_case(Iid(), 3, n=4)
        wrong = altered(right.structure, **changes)
        support = wrong.support(right.params, Constraints())
        return dataclasses.replace(right, structure=wrong, support=support)

    return make


def soft_whatever(part, params, logb, chunk, assign, collect):
    return part.infer(params, logb, chunk, SOFT, collect)


def hard_whatever(part, params, logb, chunk, assign, collect):
    return part.infer(params, logb, chunk, HARD, collect)


STRUCTURE_BUGS = {
    "the_start_is_legal": {"weights sum to k": structure(start=lambda part, k: IidParams(np.ones(k)))},
    "every_row_is_collected_once": {"rows are handed on twice": structure(infer=collects_twice)},
    "counts_add": {
        "counts are shares": structure(infer=inferred(lambda c, o, ll: (IidCounts(c.counts / c.counts.sum()), o, ll))),
        "the likelihood is a mean": structure(infer=inferred(lambda c, o, ll: (c, o, ll / c.counts.sum()))),
    },
    "weight_two_is_seen_twice": {"weights are ignored": structure(infer=without_weight)},
    "soft_objective_sums_over_paths": {
        "the best path only": structure(infer=hard_whatever),
        "an extra constant": structure(infer=inferred(lambda c, o, ll: (c, o + 1e-6, ll + 1e-6))),
    },
    "responsibilities_are_marginals": {
        "not normalised": structure(infer=collected(lambda resp: 0.99 * resp)),
        "too sure": structure(infer=collected(lambda resp: resp**1.01)),
    },
    "hard_objective_is_the_best_path": {"soft all the same": structure(infer=soft_whatever)},
    "q_is_the_expected_log_prior": {
        "a factor of two": structure(q=lambda part, p, c: 2.0 * part.q(p, c)),
        "weights instead of logs": structure(q=lambda part, p, c: float((c.counts * p.weights).sum())),
    },
    "fit_maximises_q": {
        "smoothed": structure(fit=lambda part, c, p, u: part.fit(IidCounts(c.counts + 0.1), p, u)),
        "the start returned": structure(fit=lambda part, c, p, u: p),
    },
    "score_is_the_gradient_of_q": {"the wrong sign": structure(score=lambda part, p, c, u: -part.score(p, c, u))},
    "unit_scores_add_up": {
        "every row like the mean": structure(
            unit_scores=lambda part, p, r, u, g: part.unit_scores(p, np.full_like(r, 1 / 3), u, g)
        ),
    },
    "support_goes_there_and_back": {"the count is one too large": structure(support=one_more_coordinate)},
    "explain_agrees_with_infer": {
        "the prior is left out": structure(
            explain=lambda part, p, logb, chunk: part.explain(IidParams(np.full(3, 1 / 3)), logb, chunk)
        ),
    },
    "zeros_stay_zero": {
        "smoothed": structure(fit=lambda part, c, p, u: part.fit(IidCounts(c.counts + 1e-6), p, u)),
    },
    "components_permute": {
        "the inverse order": structure(permute=lambda part, p, order: part.permute(p, np.argsort(order))),
    },
    "samples_follow_the_prior": {
        "all classes alike": structure(sample=lambda part, p, n, rng: rng.integers(3, size=n)),
        "a class too many": structure(sample=lambda part, p, n, rng: part.sample(p, n, rng) + 1),
    },
}


# --- the table against the laws ---


def planted(bugs):
    return [pytest.param(law, make, id=f"{law}: {bug}") for law, found in bugs.items() for bug, make in found.items()]


def catches(laws, law, make):
    case = make()
    (check,) = [each for each in laws if each.__name__ == law]
    with pytest.raises(AssertionError, match=f"law {law} is broken"):
        check(case)


@pytest.mark.parametrize(("law", "make"), planted(FAMILY_BUGS))
def test_a_law_of_families_catches(law, make):
    catches(FAMILY_LAWS, law, make)


@pytest.mark.parametrize(("law", "make"), planted(STRUCTURE_BUGS))
def test_a_law_of_structures_catches(law, make):
    catches(STRUCTURE_LAWS, law, make)


@pytest.mark.parametrize(
    ("laws", "bugs"), [(FAMILY_LAWS, FAMILY_BUGS), (STRUCTURE_LAWS, STRUCTURE_BUGS)], ids=["families", "structures"]
)
def test_every_law_has_a_planted_bug(laws, bugs):
    assert {law.__name__ for law in laws} == set(bugs)


@pytest.mark.parametrize("bug", ["the divisor is n - 1", "means are not updated"])
def test_the_public_check_names_the_law(bug):
    wrong = {
        "the divisor is n - 1": whole_block_fit,
        "means are not updated": lambda part, s, p, u: NormalParams(p.means, part.fit(s, p, u).covariances),
    }
    with pytest.raises(AssertionError, match=r"law fit_maximises_q is broken: .* nats are left"):
        check_family(altered(Normal("VVI"), fit=wrong[bug]), rows(), k=2)
