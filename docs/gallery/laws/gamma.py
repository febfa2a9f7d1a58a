"""
Waiting times: gamma components
===============================

Times are positive and skewed: a gamma law is the natural component, and a normal one gives some mass to negative times. For
the waiting times of Old Faithful both fit well, and BIC compares them, since they are densities of the same rows.
"""

import numpy as np

import estep
from estep.data import sets

X = sets.load("faithful")[["waiting"]]
models = {
    "two gamma": estep.Mixture(estep.Gamma(), 2, random_state=0),
    "two log-normal": estep.Mixture(estep.LogNormal(), 2, random_state=0),
    "two normal": estep.GaussianMixture(2, random_state=0),
    "one gamma": estep.Mixture(estep.Gamma(), 1),
}
for name, model in models.items():
    model.fit(X)
    print(f"{name:16s} log-likelihood {model.log_likelihood_:9.2f}  BIC {model.bic(X):.1f}")

gamma = models["two gamma"]
print("weights", gamma.weights_.round(3))
print("mean minutes", (gamma.shapes_ / gamma.rates_).ravel().round(2))
print("coefficients of variation", (1 / np.sqrt(gamma.shapes_)).ravel().round(3))

# %%
# Grey is the histogram, dashed the sum of the two.

figure = gamma.plot(X)
