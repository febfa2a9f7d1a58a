"""
A table with partly classified rows
===================================

People were asked on two visits whether they had been victims of a crime. Some were met only once, and still count: such a row
is spread over the cells that agree with it, in proportion to what is estimated.
"""

import estep
from estep.data import sets

table = sets.load("crimes")
visits, people = table[["first", "second"]], table["count"]
model = estep.SaturatedMultinomial().fit(visits, sample_weight=people)
whole = visits.notna().all(axis=1)
complete = estep.SaturatedMultinomial().fit(visits[whole], sample_weight=people[whole])
print(model.summary())
for name, fit in (("everybody", model), ("met twice", complete)):
    ratio, victims = fit.odds_ratio("first", "second"), fit.marginal("first")[1]
    print(f"{name}: odds ratio {ratio:.3f}, victims on the first visit {victims:.2%}")

# %%
# Who was a victim once is more than three times as likely (in odds) to be one again.

figure = model.plot(["first", "second"])
