"""Observation laws: how a row looks once its component is known. A name loads its module when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# A family takes one line here, one in ``__all__`` and one under TYPE_CHECKING (for type checkers), in alphabetical order.
_HOMES = {
    "Bernoulli": "estep.families.bernoulli",
    "Beta": "estep.families.beta",
    "Binomial": "estep.families.binomial",
    "Categorical": "estep.families.categorical",
    "Censored": "estep.families.censored",
    "Components": "estep.families.components",
    "Dirichlet": "estep.families.dirichlet",
    "Exponential": "estep.families.exponential",
    "FactorNormal": "estep.families.factor_normal",
    "Gamma": "estep.families.gamma",
    "GammaRegression": "estep.families.gamma_regression",
    "Geometric": "estep.families.geometric",
    "InverseGaussian": "estep.families.inverse_gaussian",
    "Laplace": "estep.families.laplace",
    "LinearRegression": "estep.families.linear_regression",
    "LogNormal": "estep.families.lognormal",
    "LogisticRegression": "estep.families.logistic_regression",
    "Mixed": "estep.families.mixed",
    "Multinomial": "estep.families.multinomial",
    "MultinomialRegression": "estep.families.multinomial_regression",
    "NegativeBinomial": "estep.families.negative_binomial",
    "Normal": "estep.families.normal",
    "Poisson": "estep.families.poisson",
    "PoissonRegression": "estep.families.poisson_regression",
    "Product": "estep.families.product",
    "Student": "estep.families.student",
    "Truncated": "estep.families.truncated",
    "Uniform": "estep.families.uniform",
    "VonMises": "estep.families.von_mises",
    "VonMisesFisher": "estep.families.von_mises_fisher",
    "Weibull": "estep.families.weibull",
    "WithNoise": "estep.families.noise",
    "ZeroInflated": "estep.families.zero_inflated",
    "ZeroResponse": "estep.families.zero_response",
}

__all__ = [
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Censored",
    "Components",
    "Dirichlet",
    "Exponential",
    "FactorNormal",
    "Gamma",
    "GammaRegression",
    "Geometric",
    "InverseGaussian",
    "Laplace",
    "LinearRegression",
    "LogNormal",
    "LogisticRegression",
    "Mixed",
    "Multinomial",
    "MultinomialRegression",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "PoissonRegression",
    "Product",
    "Student",
    "Truncated",
    "Uniform",
    "VonMises",
    "VonMisesFisher",
    "Weibull",
    "WithNoise",
    "ZeroInflated",
    "ZeroResponse",
]

if TYPE_CHECKING:
    from estep.families.bernoulli import Bernoulli
    from estep.families.beta import Beta
    from estep.families.binomial import Binomial
    from estep.families.categorical import Categorical
    from estep.families.censored import Censored
    from estep.families.components import Components
    from estep.families.dirichlet import Dirichlet
    from estep.families.exponential import Exponential
    from estep.families.factor_normal import FactorNormal
    from estep.families.gamma import Gamma
    from estep.families.gamma_regression import GammaRegression
    from estep.families.geometric import Geometric
    from estep.families.inverse_gaussian import InverseGaussian
    from estep.families.laplace import Laplace
    from estep.families.linear_regression import LinearRegression
    from estep.families.logistic_regression import LogisticRegression
    from estep.families.lognormal import LogNormal
    from estep.families.mixed import Mixed
    from estep.families.multinomial import Multinomial
    from estep.families.multinomial_regression import MultinomialRegression
    from estep.families.negative_binomial import NegativeBinomial
    from estep.families.noise import WithNoise
    from estep.families.normal import Normal
    from estep.families.poisson import Poisson
    from estep.families.poisson_regression import PoissonRegression
    from estep.families.product import Product
    from estep.families.student import Student
    from estep.families.truncated import Truncated
    from estep.families.uniform import Uniform
    from estep.families.von_mises import VonMises
    from estep.families.von_mises_fisher import VonMisesFisher
    from estep.families.weibull import Weibull
    from estep.families.zero_inflated import ZeroInflated
    from estep.families.zero_response import ZeroResponse


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'estep.families' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
