"""Expectation-maximisation: one engine, and the latent-variable models that people fit with it.

A model is two pure maps, ``estep`` and ``mstep``; statistics add; data has one verb, ``sum``; an algorithm is a pure step.
Names load on first use, so that ``import estep`` stays instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from estep.core.version import VERSION

__version__ = VERSION

_HOMES = {
    "GaussianMixture": "estep.estimators.mixture",
    "Mixture": "estep.estimators.mixture",
    "CategoricalHMM": "estep.estimators.hmm_more",
    "FactorialHMM": "estep.estimators.factorial",
    "GMMHMM": "estep.estimators.gmm_hmm",
    "GaussianHMM": "estep.estimators.hmm",
    "HMM": "estep.estimators.hmm",
    "AutoregressiveHMM": "estep.estimators.autoregressive",
    "HMMMixture": "estep.estimators.hmm_mixture",
    "InputOutputHMM": "estep.estimators.input_output",
    "MarkovChain": "estep.estimators.markov_chain",
    "PoissonHMM": "estep.estimators.hmm_more",
    "SemiMarkovHMM": "estep.estimators.semimarkov",
    "KMeans": "estep.estimators.kmeans",
    "AlignmentHMM": "estep.estimators.alignment",
    "MotifFinder": "estep.estimators.motif",
    "ProfileHMM": "estep.estimators.profile_hmm",
    "segment_image": "estep.estimators.images",
    "Segmentation": "estep.estimators.images",
    "Mixed": "estep.families.mixed",
    "LatentClass": "estep.estimators.latent_class",
    "propose_family": "estep.estimators.propose",
    "ConvergenceWarning": "estep.estimators.warnings",
    "FactorAnalysis": "estep.estimators.factor_analysis",
    "MixtureOfExperts": "estep.estimators.experts",
    "MixtureOfRegressions": "estep.estimators.regressions",
    "MultivariateNormal": "estep.estimators.multivariate_normal",
    "PLSA": "estep.estimators.plsa",
    "SaturatedMultinomial": "estep.estimators.saturated_multinomial",
    "ChiSquared": "estep.inference.hypotheses",
    "Diagnosis": "estep.inference.findings",
    "Finding": "estep.inference.findings",
    "Influence": "estep.inference.influence",
    "Severity": "estep.inference.findings",
    "Errors": "estep.inference.errors",
    "lr_test": "estep.inference.hypotheses",
    "score_test": "estep.estimators.inference_methods",
    "standard_errors": "estep.inference.errors",
    "wald_test": "estep.estimators.inference_methods",
    "Pooled": "estep.inference.rubin",
    "pool_estimates": "estep.inference.rubin",
    "align_components": "estep.inference.labels",
    "load": "estep.estimators.files",
    "Bootstrap": "estep.inference.bootstrap",
    "BootstrapLRT": "estep.inference.lrt",
    "bootstrap_lrt": "estep.estimators.bootstrap_lrt",
    "criteria": "estep.inference.criteria",
    "select": "estep.inference.select",
    "Selection": "estep.inference.select",
    "fit": "estep.engine.fit",
    "Variant": "estep.engine.presets",
    "Bernoulli": "estep.families.bernoulli",
    "Beta": "estep.families.beta",
    "Binomial": "estep.families.binomial",
    "Categorical": "estep.families.categorical",
    "Censored": "estep.families.censored",
    "CensoredNormal": "estep.estimators.censored",
    "Components": "estep.families.components",
    "Dirichlet": "estep.families.dirichlet",
    "Exponential": "estep.families.exponential",
    "Gamma": "estep.families.gamma",
    "Geometric": "estep.families.geometric",
    "InverseGaussian": "estep.families.inverse_gaussian",
    "Laplace": "estep.families.laplace",
    "LogNormal": "estep.families.lognormal",
    "Multinomial": "estep.families.multinomial",
    "NegativeBinomial": "estep.families.negative_binomial",
    "Poisson": "estep.families.poisson",
    "Product": "estep.families.product",
    "Student": "estep.families.student",
    "StudentMixture": "estep.estimators.student",
    "Truncated": "estep.families.truncated",
    "Uniform": "estep.families.uniform",
    "VonMises": "estep.families.von_mises",
    "VonMisesFisher": "estep.families.von_mises_fisher",
    "Weibull": "estep.families.weibull",
    "ZeroInflated": "estep.families.zero_inflated",
    "Normal": "estep.families.normal",
    "Status": "estep.core.result",
    "record": "estep.core.record",
    "shared": "estep.core.record",
}
_PACKAGES = ("core", "data", "engine", "families", "models", "structures", "testing", "views")

__all__ = [
    "Diagnosis",
    "Finding",
    "GMMHMM",
    "HMM",
    "Influence",
    "PLSA",
    "AlignmentHMM",
    "AutoregressiveHMM",
    "Bernoulli",
    "Beta",
    "Binomial",
    "Bootstrap",
    "BootstrapLRT",
    "Categorical",
    "CategoricalHMM",
    "Censored",
    "CensoredNormal",
    "ChiSquared",
    "Components",
    "ConvergenceWarning",
    "Dirichlet",
    "Errors",
    "Exponential",
    "FactorAnalysis",
    "FactorialHMM",
    "Gamma",
    "GaussianHMM",
    "GaussianMixture",
    "Geometric",
    "HMMMixture",
    "InputOutputHMM",
    "InverseGaussian",
    "KMeans",
    "Laplace",
    "LatentClass",
    "LogNormal",
    "MarkovChain",
    "Mixed",
    "Mixture",
    "MixtureOfExperts",
    "MixtureOfRegressions",
    "MotifFinder",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "PoissonHMM",
    "Pooled",
    "Product",
    "ProfileHMM",
    "SaturatedMultinomial",
    "Segmentation",
    "Selection",
    "SemiMarkovHMM",
    "Severity",
    "Status",
    "Student",
    "StudentMixture",
    "Truncated",
    "Uniform",
    "Variant",
    "VonMises",
    "VonMisesFisher",
    "Weibull",
    "ZeroInflated",
    "__version__",
    "align_components",
    "bootstrap_lrt",
    "core",
    "criteria",
    "data",
    "engine",
    "families",
    "fit",
    "load",
    "lr_test",
    "models",
    "pool_estimates",
    "propose_family",
    "record",
    "score_test",
    "segment_image",
    "select",
    "shared",
    "standard_errors",
    "structures",
    "testing",
    "views",
    "wald_test",
]

if TYPE_CHECKING:
    from estep import core, data, engine, families, models, structures, testing, views
    from estep.core.record import record, shared
    from estep.core.result import Status
    from estep.engine.fit import fit
    from estep.engine.presets import Variant
    from estep.estimators.alignment import AlignmentHMM
    from estep.estimators.autoregressive import AutoregressiveHMM
    from estep.estimators.bootstrap_lrt import bootstrap_lrt
    from estep.estimators.censored import CensoredNormal
    from estep.estimators.experts import MixtureOfExperts
    from estep.estimators.factor_analysis import FactorAnalysis
    from estep.estimators.factorial import FactorialHMM
    from estep.estimators.files import load
    from estep.estimators.gmm_hmm import GMMHMM
    from estep.estimators.hmm import HMM, GaussianHMM
    from estep.estimators.hmm_mixture import HMMMixture
    from estep.estimators.hmm_more import CategoricalHMM, PoissonHMM
    from estep.estimators.images import Segmentation, segment_image
    from estep.estimators.inference_methods import score_test, wald_test
    from estep.estimators.input_output import InputOutputHMM
    from estep.estimators.kmeans import KMeans
    from estep.estimators.latent_class import LatentClass
    from estep.estimators.markov_chain import MarkovChain
    from estep.estimators.mixture import GaussianMixture, Mixture
    from estep.estimators.motif import MotifFinder
    from estep.estimators.multivariate_normal import MultivariateNormal
    from estep.estimators.plsa import PLSA
    from estep.estimators.profile_hmm import ProfileHMM
    from estep.estimators.propose import propose_family
    from estep.estimators.regressions import MixtureOfRegressions
    from estep.estimators.saturated_multinomial import SaturatedMultinomial
    from estep.estimators.semimarkov import SemiMarkovHMM
    from estep.estimators.student import StudentMixture
    from estep.estimators.warnings import ConvergenceWarning
    from estep.families.bernoulli import Bernoulli
    from estep.families.beta import Beta
    from estep.families.binomial import Binomial
    from estep.families.categorical import Categorical
    from estep.families.censored import Censored
    from estep.families.components import Components
    from estep.families.dirichlet import Dirichlet
    from estep.families.exponential import Exponential
    from estep.families.gamma import Gamma
    from estep.families.geometric import Geometric
    from estep.families.inverse_gaussian import InverseGaussian
    from estep.families.laplace import Laplace
    from estep.families.lognormal import LogNormal
    from estep.families.mixed import Mixed
    from estep.families.multinomial import Multinomial
    from estep.families.negative_binomial import NegativeBinomial
    from estep.families.normal import Normal
    from estep.families.poisson import Poisson
    from estep.families.product import Product
    from estep.families.student import Student
    from estep.families.truncated import Truncated
    from estep.families.uniform import Uniform
    from estep.families.von_mises import VonMises
    from estep.families.von_mises_fisher import VonMisesFisher
    from estep.families.weibull import Weibull
    from estep.families.zero_inflated import ZeroInflated
    from estep.inference.bootstrap import Bootstrap
    from estep.inference.criteria import criteria
    from estep.inference.errors import Errors, standard_errors
    from estep.inference.findings import Diagnosis, Finding, Severity
    from estep.inference.hypotheses import ChiSquared, lr_test
    from estep.inference.influence import Influence
    from estep.inference.labels import align_components
    from estep.inference.lrt import BootstrapLRT
    from estep.inference.rubin import Pooled, pool_estimates
    from estep.inference.select import Selection, select


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"estep.{name}")
    raise AttributeError(f"module 'estep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
