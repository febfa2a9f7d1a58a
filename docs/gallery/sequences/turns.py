"""
Old Faithful by turns: a Markov chain
=====================================

The geyser's eruptions are short or long, and the table that everybody clusters is in the order of time. What follows a short
eruption?
"""

import numpy as np

import estep
from estep.data import sets

minutes = sets.load("faithful")["eruptions"].to_numpy()
kinds = np.where(minutes < 3, "short", "long")
chain = estep.MarkovChain(states=["short", "long"], random_state=0).fit(kinds)
print(chain.summary())
independent = 2 * np.log(np.bincount(minutes < 3) / len(kinds)) @ np.bincount(minutes < 3)
print(f"BIC {chain.bic(kinds):.1f}, of independent eruptions {-independent + np.log(len(kinds)):.1f}")

diagram = chain.plot()

# %%
# A short eruption is nearly always followed by a long one: seeing one tells more than the share of long eruptions does. After
# half a dozen turns it is forgotten.

for now in ("short", "long"):
    ahead = [chain.predict_proba([now], steps)[0, 1] for steps in (1, 2, 3, 6)]
    print(f"after a {now} one, long in 1, 2, 3, 6 turns: {np.round(ahead, 3)}; in the long run {chain.stationary()[1]:.3f}")
print(f"expected turns until the next short one, after a long one: {chain.hitting('short').times[1]:.2f}")
