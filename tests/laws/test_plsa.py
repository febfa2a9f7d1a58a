"""Probabilistic latent semantic analysis: the laws that hold for a model whose documents are parameters, and its own."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from estep.core.assign import SOFT
from estep.data import Memory
from estep.engine.fit import fit
from estep.engine.presets import variant_of
from estep.engine.run import Control
from estep.inference.tempering import tempered
from estep.models import plsa
from estep.models.plsa import DocumentRows, Plsa, PlsaParams
from estep.testing.case_of_model import model_case
from estep.testing.coordinates import slope_agrees
from estep.testing.model import MODEL_LAWS

K, W, D = 3, 7, 12
X = np.random.default_rng(0).poisson(1.5, size=(D, W)).astype(float)
# These change how many documents there are, or rebuild the model without its documents; their sense is tested below.
ELSEWHERE = ("weight_two_is_seen_twice", "one_component_is_maximum_likelihood")
LAWS = [law for law in MODEL_LAWS if law.__name__ not in ELSEWHERE]
SETTINGS = [dict(), dict(folding=True), dict(more_words=0.3, more_topics=0.2), dict(beta=0.7)]


def somewhere(seed=0, k=K, d=D):
    rng = np.random.default_rng(seed)
    return PlsaParams(rng.dirichlet(np.ones(W), k), rng.dirichlet(np.ones(k), d))


@pytest.mark.parametrize("kind", [np.asarray, csr_array])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_laws(settings, kind):
    case = model_case(Plsa(K, W, D, **settings), kind(X), params=somewhere(), exchangeable=False)
    assert len(LAWS) == len(MODEL_LAWS) - 2
    for law in LAWS:
        if "beta" in settings and law.__name__ == "score_is_the_slope_of_the_likelihood":
            continue  # of the free energy: the next test
        law(case)


def test_the_score_is_the_slope_of_the_free_energy():
    model, data, at = Plsa(K, W, D, beta=0.7), Memory(X), somewhere()
    seen = lambda p: data.sum(lambda chunk: model.estep(p, chunk, SOFT))  # noqa: E731
    support = model.support(at)
    slope_agrees("free energy", "score", lambda p: float(seen(p).objective), model.score(at, seen(at).stats), support, at)


def test_weights_are_repeated_documents():
    """Doubling a document's weight is writing it twice: the same topics, and for both copies the same shares."""
    twice = np.vstack([X, X[:2]])
    weight = np.where(np.arange(D) < 2, 2.0, 1.0)
    for more in (dict(), dict(more_words=0.3, more_topics=0.2)):
        one = fit(Plsa(K, W, D, times=weight, **more), Memory(X, weight=weight), somewhere(), max_iter=30, tol=0.0)
        at = somewhere()
        at = PlsaParams(at.topics, np.vstack([at.documents, at.documents[:2]]))
        two = fit(Plsa(K, W, D + 2, **more), Memory(twice), at, max_iter=30, tol=0.0)
        np.testing.assert_allclose(one.params.topics, two.params.topics, rtol=1e-10)
        np.testing.assert_allclose(one.params.documents, two.params.documents[:D], rtol=1e-10)
        assert one.objective == pytest.approx(two.objective, rel=1e-12)


def test_one_topic_is_the_overall_frequencies():
    result = fit(Plsa(1, W, D), Memory(X), somewhere(k=1))
    np.testing.assert_allclose(result.params.topics[0], X.sum(axis=0) / X.sum(), rtol=1e-12)


def test_an_estep_token_by_token():
    params = somewhere(1)
    seen = Plsa(K, W, D).estep(params, next(Memory(X).chunks()), SOFT)
    words, tokens, loglik = np.zeros((K, W)), np.zeros((D, K)), 0.0
    for d in range(D):
        for w in range(W):
            joint = params.documents[d] * params.topics[:, w]
            loglik += X[d, w] * np.log(joint.sum())
            words[:, w] += X[d, w] * joint / joint.sum()
            tokens[d] += X[d, w] * joint / joint.sum()
    np.testing.assert_allclose(seen.stats.words, words, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(seen.stats.tokens), tokens, rtol=1e-12)
    assert seen.loglik == pytest.approx(loglik, rel=1e-13)


def test_blocks_of_nonzeros_do_not_matter(monkeypatch):
    counts, params = csr_array(X), somewhere(2)
    whole = plsa.mixed(params.documents, params.topics, counts)
    monkeypatch.setattr(plsa, "BLOCK", 5 * K)
    np.testing.assert_array_equal(plsa.mixed(params.documents, params.topics, counts), whole)


def test_document_rows_add():
    a, b = DocumentRows({0: np.ones((2, K))}), DocumentRows({2: 2 * np.ones((1, K))})
    np.testing.assert_array_equal(np.asarray((a + b) * 2.0), [[2] * K, [2] * K, [4] * K])
    np.testing.assert_array_equal(np.asarray(a + a), 2 * np.ones((2, K)))


def test_a_dead_topic_is_found():
    params = somewhere()
    dead = PlsaParams(params.topics, np.column_stack([params.documents[:, :2], np.zeros(D)]))
    dead = PlsaParams(dead.topics, dead.documents / dead.documents.sum(axis=1, keepdims=True))
    result = fit(Plsa(K, W, D), Memory(X), dead, tol=1e-6)
    assert result.status.name == "FRAIL"
    assert "component 2" in result.message
    assert "tokens" in result.message


def test_tempering_stops_where_held_out_tokens_are_predicted_best():
    """Few tokens for many topics: the plain fit learns the noise, a lower beta predicts held-out tokens better."""
    rng = np.random.default_rng(5)
    topics, shares = rng.dirichlet(np.full(60, 0.2), 3), rng.dirichlet(np.ones(3), 40)
    train, held = (np.array([rng.multinomial(30, s @ topics) for s in shares]) for _ in range(2))
    model = Plsa(10, 60, 40)
    start = model.random_start(np.random.default_rng(0))

    def score(params, beta):
        mix = np.maximum(params.documents @ params.topics, 1e-12)
        return float((held * np.log(mix)).sum() / held.sum())

    result, beta, path = tempered(model, Memory(train), start, score, 0.8, variant_of("em", "none"), Control(tol=1e-6))
    assert beta < 1.0
    assert result.status.name == "HELD_OUT"
    assert path[0][0] == 1.0
    assert score(result.params, beta) == pytest.approx(max(s for _, s in path), abs=1e-12)
    plain = fit(model, Memory(train), start, tol=1e-7)
    assert score(result.params, beta) > score(plain.params, 1.0) + 0.1


def test_a_wrong_sign_of_the_prior_is_noticed():
    class Forgetful(Plsa):
        def mstep(self, stats, params):
            return Plsa(self.k, self.n_words, self.n_documents).mstep(stats, params)

    case = model_case(Forgetful(K, W, D, more_words=2.0), X, params=somewhere(), exchangeable=False)
    with pytest.raises(AssertionError):
        for law in LAWS:
            law(case)
