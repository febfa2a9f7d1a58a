"""Every exported family in every structure: parameters come back from a sample, within a bound that chance explains.

Rows come from numpy (tests/every_family.py), a tenth of what may be missing is deleted, and EM starts away from the truth. The
Wald statistic (found - truth)' I (found - truth), with I the outer products of per-row scores in free coordinates, is close to
chi-square with as many degrees of freedom as there are free parameters; a correct program is below the bound with
probability 1 - 1e-7.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import estep
from estep import families
from estep.data import Memory
from estep.models.latent import Latent, LatentParams
from estep.structures.gated import Gated, GateParams
from estep.structures.grouped import Grouped, GroupedParams
from estep.structures.hierarchical_gate import HierarchicalGate, HierarchyParams
from estep.structures.iid import Iid, IidParams

ALARM = 1e-7
AWAY = 0.15
MISSING = 0.1


def table():
    spec = importlib.util.spec_from_file_location("every_family", Path(__file__).parents[1] / "every_family.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["every_family"] = module
    spec.loader.exec_module(module)
    return module


EVERY = table()


# --- structures: (structure, parameters to draw from, what each row is given) ---


def iid(k, n, rng):
    return Iid(), IidParams(np.array([0.6, 0.4] if k == 2 else [0.5, 0.3, 0.2])), None


def grouped(k, n, rng):
    weights = [[0.7, 0.3], [0.4, 0.6]] if k == 2 else [[0.5, 0.3, 0.2], [0.3, 0.4, 0.3]]
    return Grouped(2), GroupedParams(np.array(weights)), rng.integers(0, 2, n)


def gated(k, n, rng):
    coefs = np.array([[0.0, 0.0], [-0.3, 0.9], [-1.0, -0.5]][:k])
    return Gated(), GateParams(coefs), rng.normal(size=(n, 1))


def hierarchical(k, n, rng):
    """The first group has one leaf, the second the others."""
    groups = (1, k - 1)
    leaves = np.array([[0.0, 0.0], [0.0, 0.0], [-0.4, 0.8]][:k])
    params = HierarchyParams(np.array([[0.0, 0.0], [-0.3, 0.9]]), leaves)
    return HierarchicalGate(groups), params, rng.normal(size=(n, 1))


SEQUENCES = {"Chain", "GatedChain", "SemiMarkov", "FactorialChain"}
"""Rows are not independent there, so scores of rows are no information: they have tests of their own."""
STRUCTURES = {"Iid": iid, "Grouped": grouped, "Gated": gated, "HierarchicalGate": hierarchical}


# --- a sample, a fit, the distance ---


def truth_of(case, model, d):
    """The parameters to draw from as the family keeps them."""
    values = {name: model.family.adopt(name, value, case.k, d, name) for name, value in case.truth.items()}
    start, own = model.family.start(case.k), getattr(model.family, "with_values", None)
    return own(start, values) if own else dataclasses.replace(start, **values)


def width(x):
    return x[0].shape[1] if isinstance(x, tuple) else x.shape[1]


def sampled(case, structure):
    """Model bound to the rows, their plane, and the true parameters."""
    rng = np.random.default_rng([len(case.name), *map(ord, case.name + structure)])
    bare, params, given = STRUCTURES[structure](case.k, case.rows, rng)
    labels = bind_alone(bare, given, case.rows).sample(params, case.rows, rng, given=given)
    x = EVERY.with_gaps(case, case.draw(labels, rng), MISSING, rng)
    allowed = np.where(rng.random(case.rows) < case.labelled, labels, -1) if case.labelled else None
    data = Memory(x, given=given, allowed=allowed)
    model = Latent(bare, case.family, case.k).bind(data)
    return model, data, LatentParams(params, truth_of(case, model, width(x)))


def bind_alone(structure, given, n):
    return structure if given is None else structure.bind(Memory(np.zeros((n, 1)), given=given))


def p_value(case, structure, moved=0.0):
    """Of the Wald statistic; ``moved`` displaces the truth by so many standard errors of its first coordinate."""
    model, data, truth = sampled(case, structure)
    support = model.support(truth)
    packed = support.pack(truth)
    away = AWAY * np.random.default_rng(1).standard_normal(packed.size)
    begin = support.unpack(packed + away / np.sqrt(np.maximum(1.0, np.abs(packed))), truth)
    found = estep.fit(model, data, begin, accelerate="squarem", tol=1e-11, max_iter=3000)
    assert found.converged, found.message
    assert found.loglik >= estep.fit(model, data, begin, max_iter=1).loglik
    here = model.support(found.params)
    gap = here.pack(found.params) - here.pack(truth)
    scores = np.vstack([model.unit_scores(found.params, chunk) for chunk in data.chunks()])
    information = scores.T @ scores
    gap[0] += moved / np.sqrt(information[0, 0])
    rank = np.linalg.matrix_rank(information, tol=1e-8 * np.trace(information))
    return stats.chi2.sf(gap @ information @ gap, rank)


def row(case, structure):
    quick = structure == "Iid" or not case.slow
    return pytest.param(case, structure, marks=[] if quick else pytest.mark.slow, id=f"{case.name}-{structure}")


@pytest.mark.parametrize(("case", "structure"), [row(case, structure) for case in EVERY.CASES for structure in STRUCTURES])
def test_parameters_come_back(case, structure):
    assert p_value(case, structure) > ALARM


def test_the_table_has_every_family_and_every_structure():
    from estep import structures

    assert sorted(case.name for case in EVERY.CASES) == sorted(families.__all__)
    assert set(STRUCTURES) | SEQUENCES >= set(structures.__all__)


@pytest.mark.parametrize("name", ["Poisson", "VonMises"])
def test_a_displaced_truth_is_noticed(name):
    case = next(case for case in EVERY.CASES if case.name == name)
    assert p_value(case, "Grouped", moved=15.0) < ALARM


@dataclasses.dataclass(frozen=True)
class ZeroFilled(families.Poisson):
    """A planted bug: what is missing is read as zero."""

    def encode(self, x):
        return super().encode(np.nan_to_num(x))


def test_a_family_that_reads_missing_entries_as_zero_is_noticed():
    case = next(case for case in EVERY.CASES if case.name == "Poisson")
    assert p_value(dataclasses.replace(case, family=ZeroFilled()), "Iid") < ALARM
