"""
Columns of different kinds in one mixture
=========================================

915 biochemists at the end of their doctorate: articles, sex, marriage, children, prestige of the department, articles of the
mentor. Counts, yes and no, and a real number each get a law of their own; given the group the columns are independent.
"""

import estep
from estep.data import sets

people = sets.load("biochemists")
family = estep.Product(
    {
        "articles": estep.ZeroInflated(estep.Poisson()),
        ("female", "married"): estep.Bernoulli(),
        "kids": estep.Poisson(),
        "prestige": estep.Normal(),
        "mentor": estep.NegativeBinomial(),
    }
)
model = estep.Mixture(family, 3, n_init=4, random_state=0).fit(people)
print(model.summary())

# %%
# Married people, most with children; people without children; and a small group of prolific authors with prolific mentors.

figure = estep.views.plot_pairs(
    model, people, columns=["articles", "kids", "prestige", "mentor"]
)

# %%
# A new person of whom only two things are known: what is missing does not count.

somebody = people.iloc[[0]].astype(float)
somebody.loc[:, ["female", "married", "kids", "prestige"]] = float("nan")
somebody[["articles", "mentor"]] = 6.0, 30.0
print(model.predict_proba(somebody).round(3))
