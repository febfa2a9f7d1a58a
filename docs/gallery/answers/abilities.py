"""
Six tests, two abilities: factor analysis
=========================================

Scores of 112 people in six tests hang together. Two factors explain how: one in reading and vocabulary, one in blocks, mazes
and pictures. Only the covariances were printed, and they are enough for a fit.
"""

import numpy as np

import estep
from estep.data import sets

S = sets.load("ability")
sd = np.sqrt(np.diag(S))
correlations = S.to_numpy() / np.outer(sd, sd)
for q in (1, 2):
    model = estep.FactorAnalysis(q, random_state=0).fit_covariance(correlations, n=112)
    print(f"{q}: log-likelihood {model.log_likelihood_:.3f}, {model.result_.n_free} parameters")

# %%
# Loadings are correlations of tests with factors; squared and added up over factors they are what is explained of a test.

print(dict(zip(S.columns, model.uniquenesses_.round(3).tolist(), strict=True)))
figure = estep.views.plot_loadings(model, names=list(S.columns))
