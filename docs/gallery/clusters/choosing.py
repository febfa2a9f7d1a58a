"""
How many components, and of what shape
======================================

``select`` fits every combination and compares them by a criterion; lower is better. Its table keeps every fit, and says which
could not be used and why.
"""

import estep
from estep.data import sets

X = sets.load("faithful")
grid = {"n_components": range(1, 7), "covariance_type": ["EII", "VVI", "EEE", "VVE", "VVV"]}
selection = estep.select(estep.GaussianMixture(random_state=0), X, grid)
print(selection)

figure = estep.views.plot_selection(selection)

# %%
# BIC takes three components that share one covariance: the long eruptions are not quite normal, so they get two. ICL asks for
# clusters that are well apart, and takes two.

apart = estep.select(estep.GaussianMixture(random_state=0), X, grid, criterion="icl")
print(selection.best_.n_components, apart.best_.n_components)

clusters = selection.best_.plot(X)
