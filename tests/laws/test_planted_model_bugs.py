"""Every law of models catches a bug planted for it: in the model, in its family, or in the file of a checkpoint."""

import dataclasses
import threading
import types

import numpy as np
import pytest

from estep.core.record import transform
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.models.latent import Latent
from estep.structures.iid import Iid
from estep.testing import MODEL_LAWS, altered, model_case
from estep.testing import model as laws

N = 45
FREE = Constraints()
FIXED_MEAN = Constraints({"means": np.array([[0.5, np.nan], [np.nan, np.nan], [np.nan, np.nan]])})


def rows():
    rng = np.random.default_rng(2)
    return rng.normal(size=(N, 2)) @ [[1.0, 0.5], [0.0, 0.8]] + 2.0 * (np.arange(N) % 3)[:, None]


def test_an_unaltered_wrapper_passes():
    case = model_case(altered(Latent(altered(Iid()), altered(Normal("VVV")), 3)), rows())
    for law in MODEL_LAWS:
        law(case)


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


def divisor_too_small(part, stats, params, support):
    """n - 1 in place of n."""
    fitted = part.fit(stats, params, support)
    return NormalParams(fitted.means, fitted.covariances * (N / 3 / (N / 3 - 1)))


def about_another_anchor(part, params, encoded, resp):
    """Moments about an anchor that depends on the chunk."""
    stats = part.stats(params, encoded, resp)
    return dataclasses.replace(stats, anchor=stats.anchor + resp.sum())


def model(prior=False, constraints=FREE, carried=None, inner=None, **changes):
    """A case of a normal mixture whose model, or whose family (``inner``), has a bug."""

    def make():
        x = rows()
        right = Latent(Iid(), altered(Normal("VVI"), **inner) if inner else Normal("VVI"), 3, constraints=constraints)
        right = right.bind(Memory(x))
        right = right.with_prior({"weights": 2.0}) if prior else right
        start = model_case(dataclasses.replace(right, constraints=Constraints()), x).params
        if constraints:
            means = start.family.means.copy()
            means[0, 0] = 0.5
            start = dataclasses.replace(start, family=NormalParams(means, start.family.covariances))
        case = model_case(right, x, params=start, **(carried or {}))
        return dataclasses.replace(case, model=altered(right, **changes)) if changes else case

    return make


def seen(change):
    """A model whose E-step is changed by ``change(expected, chunk)``."""
    return lambda part, params, chunk, assign: change(part.estep(params, chunk, assign), chunk)


def objective_plus(term):
    def change(expected, chunk):
        more = term(chunk)
        return dataclasses.replace(expected, objective=expected.objective + more, loglik=expected.loglik + more)

    return seen(change)


def in_a_pool(chunk):
    return 0.0 if threading.current_thread() is threading.main_thread() else 1e-9


def overshoot(part, stats, params):
    """A step twice as long as EM's."""
    new = part.mstep(stats, params)
    means = params.family.means + 2.5 * (new.family.means - params.family.means)
    return dataclasses.replace(new, family=NormalParams(means, new.family.covariances))


def forgetful_of_constraints(part, stats, params):
    return dataclasses.replace(part, constraints=Constraints()).mstep(stats, params)


def prior_twice(part, stats, params):
    return part.mstep(part.with_imagined(stats), params)


def prior_in_the_estep(part, params, chunk, assign):
    expected = part.estep(params, chunk, assign)
    return dataclasses.replace(expected, objective=expected.objective + part.q(params, part.prior))


def codes_only(part, params, chunk, assign):
    """Labels given as sets are overlooked."""
    allowed = chunk.allowed if chunk.allowed is not None and chunk.allowed.ndim == 1 else None
    return part.estep(params, dataclasses.replace(chunk, allowed=allowed), assign)


def unweighted(part, params, chunk, assign):
    return part.estep(params, dataclasses.replace(chunk, weight=None), assign)


def favours_the_first(part, stats, params):
    new = part.mstep(stats, params)
    covariances = new.family.covariances.copy()
    covariances[0] *= 1.05
    return dataclasses.replace(new, family=NormalParams(new.family.means, covariances))


class Memoried:
    """An M-step that remembers how often it was called: state outside the state."""

    def __init__(self):
        self.calls = 0

    def __call__(self, part, stats, params):
        self.calls += 1
        new = part.mstep(stats, params)
        return transform(new, lambda name, leaf: leaf if "means" not in name else leaf + 1e-9 * self.calls)


MODEL_BUGS = {
    "support_goes_there_and_back": {"the count is one too large": model(support=one_more_coordinate)},
    "objective_never_falls": {"steps overshoot": model(mstep=overshoot)},
    "chunks_do_not_matter": {
        "the first chunk is special": model(estep=objective_plus(lambda chunk: 1e-6 * (chunk.key[1] > 0))),
        "the anchor depends on the chunk": model(inner={"stats": about_another_anchor}),
    },
    "row_order_does_not_matter": {
        "later rows count for more": model(
            estep=objective_plus(lambda chunk: float(1e-6 * np.arange(len(chunk)) @ chunk.x[:, 0]))
        ),
    },
    "threads_do_not_matter": {"the pool's threads differ": model(estep=objective_plus(in_a_pool))},
    "components_permute": {"the first component is special": model(mstep=favours_the_first)},
    "score_is_the_slope_of_the_likelihood": {
        "the wrong sign": model(score=lambda part, p, s: -part.score(p, s)),
        "the score of the weights is left out": model(
            score=lambda part, p, s: part.score(p, s) * np.where(np.arange(14) < 2, 0.0, 1.0)
        ),
    },
    "mstep_maximises_q": {
        "the prior is counted twice": model(prior=True, mstep=prior_twice),
        "the prior is forgotten": model(
            prior=True, with_imagined=None, mstep=lambda part, s, p: dataclasses.replace(part, prior=None).mstep(s, p)
        ),
    },
    "weight_two_is_seen_twice": {"weights are ignored": model(estep=unweighted)},
    "labels_are_obeyed": {"sets of labels are overlooked": model(estep=codes_only)},
    "constraints_hold": {"fixed entries are fitted too": model(constraints=FIXED_MEAN, mstep=forgetful_of_constraints)},
    "prior_counts_once": {
        "the prior is in the E-step too": model(prior=True, estep=prior_in_the_estep),
        "the prior is counted twice": model(prior=True, mstep=prior_twice),
    },
    "resumes_to_the_bit": {"the model remembers": model(mstep=Memoried())},
    "one_component_is_maximum_likelihood": {"the divisor is n - 1": model(inner={"fit": divisor_too_small})},
}


BUGS = [pytest.param(law, make, id=f"{law}: {bug}") for law, found in MODEL_BUGS.items() for bug, make in found.items()]
IN_THE_FILE = {"a_state_before_the_first_pass_is_kept"}


@pytest.mark.parametrize(("law", "make"), BUGS)
def test_a_law_of_models_catches(law, make):
    case = make()
    (check,) = [each for each in MODEL_LAWS if each.__name__ == law]
    with pytest.raises(AssertionError, match=f"law {law} is broken"):
        check(case)


def test_a_state_that_loses_digits_is_caught(monkeypatch):
    """The bug is in the file, not in the model: parameters are written in half precision."""
    save = laws.save_state

    def save_halved(state, path, variant):
        halved = transform(state.params, lambda _, leaf: leaf.astype(np.float32).astype(float))
        save(dataclasses.replace(state, params=halved), path, variant)

    monkeypatch.setattr(laws, "save_state", save_halved)
    with pytest.raises(AssertionError, match="law a_state_before_the_first_pass_is_kept is broken"):
        laws.a_state_before_the_first_pass_is_kept(model()())


def test_every_law_has_a_planted_bug():
    assert {law.__name__ for law in MODEL_LAWS} - IN_THE_FILE == set(MODEL_BUGS)
