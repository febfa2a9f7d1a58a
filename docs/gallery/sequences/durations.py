"""
How long a kind of eruption goes on
===================================

Old Faithful's eruptions are short or long, and after a short one comes a long one. A hidden Markov model says how long a kind
goes on by a single probability of leaving it; a semi-Markov model takes any law of durations. Which one do 272 eruptions need?
"""

import estep
from estep.data import sets

X = sets.load("faithful")[["eruptions"]]
law = estep.Normal("VVV")
chain = estep.HMM(law, 2, random_state=0).fit(X)
print(f"hidden Markov     log-likelihood {chain.log_likelihood_:.3f}  BIC {chain.bic(X):.2f}")

# %%
# Geometric durations are that same model in other words. A Poisson law has its mean for a spread, and is refuted; a table of
# probabilities finds nothing that is worth its eleven parameters a state.

laws = {"geometric": None, "poisson": None, "categorical": 12}
fits = {name: estep.SemiMarkovHMM(law, 2, duration=name, max_duration=m, random_state=0).fit(X) for name, m in laws.items()}
for name, fit in fits.items():
    print(f"{name:<17} log-likelihood {fit.log_likelihood_:.3f}  BIC {fit.bic(X):.2f}")

figure = fits["categorical"].plot_durations()

# %%
# Long eruptions come in runs of any length, short ones nearly always alone: the next eruption can be told, and the one after it
# hardly.

best = fits["geometric"]
print(best.durations_[:, :4].round(3))
print(best.forecast(X, 3).states.round(2))

series = best.plot(X[:120])
