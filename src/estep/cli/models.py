"""The table of models: a name on the command line -> an estimator. A model takes one line here."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Kind:
    """A model: words about it, the estimator, the family of a mixture of some family, and what it can do.

    ``count`` is the setting that numbers its components, ``covariances`` whether they have a structure to choose, ``ranked``
    whether criteria compare them, ``texts`` whether columns of text are of use, ``regression`` the law of a regression,
    ``sequential`` whether rows come in sequences.
    """

    about: str
    estimator: str = "Mixture"
    family: str | None = None
    count: str = "n_components"
    covariances: bool = False
    ranked: bool = True
    texts: bool = False
    regression: str | None = None
    sequential: bool = False


MODELS = {
    "gaussian": Kind("normal components; missing values, 14 covariance structures", "GaussianMixture", covariances=True),
    "auto": Kind("a family for every column, proposed from what it holds", texts=True),
    "latent-class": Kind("categories or 0 and 1, independent within a class", "LatentClass", texts=True),
    "regression": Kind("regressions with normal errors; --formula", "MixtureOfRegressions", texts=True, regression="linear"),
    "poisson-regression": Kind("regressions of counts; --formula", "MixtureOfRegressions", texts=True, regression="poisson"),
    "logistic-regression": Kind("regressions of 0 and 1; --formula", "MixtureOfRegressions", texts=True, regression="logistic"),
    "gamma-regression": Kind("regressions, positive; --formula", "MixtureOfRegressions", texts=True, regression="gamma"),
    "hmm": Kind("states in time, --emission any law below; --id, --time", "HMM", count="n_states", sequential=True),
    "kmeans": Kind("k-means; no criterion, so one number of clusters", "KMeans", count="n_clusters", ranked=False),
    "poisson": Kind("counts", family="Poisson"),
    "negative-binomial": Kind("counts that spread more than Poisson's", family="NegativeBinomial"),
    "bernoulli": Kind("0 and 1", family="Bernoulli"),
    "categorical": Kind("categories", family="Categorical", texts=True),
    "exponential": Kind("waiting times", family="Exponential"),
    "gamma": Kind("positive and skewed", family="Gamma"),
    "lognormal": Kind("positive, normal logarithms", family="LogNormal"),
    "weibull": Kind("lifetimes", family="Weibull"),
    "student": Kind("normal with heavy tails", "StudentMixture", covariances=True),
    "laplace": Kind("peaked, with heavy tails", family="Laplace"),
}
EMISSIONS = {"gaussian": "Normal", "student": "Student"} | {
    name: kind.family for name, kind in MODELS.items() if kind.family is not None
}
"""Laws of a row in a state, by name on the command line."""


def reads_texts(name: str, options: Any) -> bool:
    """Whether columns of text are of use to a model."""
    kind = kind_of(name)
    return options.emission == "categorical" if kind.sequential else kind.texts


def model_lines() -> str:
    """A line for each model, for the help."""
    return "\n".join(f"  {name:18} {kind.about}" for name, kind in MODELS.items())


def kind_of(name: str) -> Kind:
    """The model of that name; raises ValueError listing those there are."""
    if name not in MODELS:
        import difflib

        choices = f"choose one of {', '.join(MODELS)}"
        near = difflib.get_close_matches(name, MODELS, n=1)
        raise ValueError(f"there is no model {name!r}; {f'did you mean {near[0]!r}?' if near else choices}")
    return MODELS[name]


SETTINGS = {
    "n_init": "n_init",
    "init": "init",
    "algorithm": "algorithm",
    "accelerate": "accelerate",
    "search": "search",
    "max_iter": "max_iter",
    "tol": "tol",
    "threads": "n_jobs",
}


def emission_of(options: Any) -> str:
    """The name of the family of a row in a state."""
    name = options.emission or "gaussian"
    if name not in EMISSIONS:
        raise ValueError(f"there is no emission {name!r}; choose one of {', '.join(EMISSIONS)}")
    return EMISSIONS[name]


def estimator_of(name: str, options: Any, family: Any = None) -> Any:
    """The estimator with the settings that the options give; raises ValueError on one that the model does not have."""
    import estep

    kind = kind_of(name)
    settings: dict[str, Any] = {"random_state": options.seed}
    given = {mine: value for theirs, mine in SETTINGS.items() if (value := getattr(options, theirs)) is not None}
    if options.prior != "auto":
        given["prior"] = None if options.prior == "none" else options.prior
    if options.noise:
        given["noise"] = True
    if kind.regression is not None and options.formula is None:
        raise ValueError(f"--model {name} needs a formula, such as --formula 'y ~ x'")
    if kind.regression is None and options.formula is not None:
        raise ValueError(f"--model {name} has no --formula")
    if kind.regression is not None:
        settings |= {"family": kind.regression, "formula": options.formula}
    if kind.estimator == "Mixture":
        settings["family"] = getattr(estep.families, str(kind.family))() if family is None else family
    if kind.sequential:
        settings["family"] = getattr(estep.families, emission_of(options))()
    elif options.emission is not None or options.time is not None:
        raise ValueError(f"--model {name} has no {'--emission' if options.emission is not None else '--time'}; --model hmm has")
    estimator = getattr(estep, kind.estimator)(*([settings.pop("family")] if kind.sequential else []))
    for setting in given:
        if setting not in estimator.get_params():
            raise ValueError(f"--model {name} has no --{setting.replace('_', '-')}")
    if options.covariance and not kind.covariances:
        raise ValueError(f"--model {name} has no --covariance")
    return estimator.set_params(**settings, **given)
