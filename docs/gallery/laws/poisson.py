"""
Death notices: a mixture of two Poisson laws
============================================

Notices of deaths of women over 80 in The Times, on 1096 days: there are more days with many, and with none, than one Poisson
law allows. Two rates, of summer and winter as one supposes, fit. The data are a table of counts: ``sample_weight`` says how
often each row was seen. EM is slow here, which is why the example is famous; the engine leaps.
"""

import estep
from estep.data import sets

notices = sets.load("death_notices")
X, days = notices[["deaths"]], notices["days"]
one = estep.Mixture(estep.Poisson(), 1).fit(X, sample_weight=days)
two = estep.Mixture(estep.Poisson(), 2, tol=1e-12, random_state=0).fit(X, sample_weight=days)
for model in (one, two):
    bic = model.bic(X, sample_weight=days)
    print(f"{model.n_components}: log-likelihood {model.log_likelihood_:.3f}  BIC {bic:.1f}")
print("rates", two.rates_.ravel().round(3), "weights", two.weights_.round(3))

plain = estep.Mixture(estep.Poisson(), 2, accelerate="none", max_iter=9999, random_state=0)
plain.set_params(tol=1e-12).fit(X, sample_weight=days)
print(f"passes: {two.n_iter_} with leaps, {plain.n_iter_} without")

# %%
# Each day is drawn once here, so the rows are repeated by their counts.

figure = two.plot(X.loc[X.index.repeat(days)])
