"""
Which line, and where: a mixture of experts
===========================================

Nitric oxide in the exhaust of an engine is low for lean and for rich mixtures of air and fuel, and high between: the
equivalence ratio at a given amount of nitric oxide has two branches. A gate says how the branches are asked as nitric oxide
grows.
"""

import estep
from estep.data import sets

burns = sets.load("nitric_oxide")
X, y = burns[["nitric_oxide"]], burns["equivalence"]
experts = estep.MixtureOfExperts("linear", 2, random_state=0).fit(X, y)
regressions = estep.MixtureOfRegressions("linear", 2, random_state=0).fit(X, y)
print("gate", experts.gate_coefs_.round(3).tolist())
for model in (experts, regressions):
    name, bic = type(model).__name__, model.bic(X, y)
    print(f"{name} log-likelihood {model.log_likelihood_:.3f} BIC {bic:.2f}")

# %%
# A line is strong where its expert is asked; dashed is the expected response, which lies where no burn is.

figure = experts.plot(X, y, "nitric_oxide")
