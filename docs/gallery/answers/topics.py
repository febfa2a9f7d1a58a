"""
Topics of nine titles
=====================

Five titles on computers and people, four on graphs, twelve words. Probabilistic latent semantic analysis writes every title as
a mixture of topics and every topic as a law over words.
"""

import estep
from estep.data import sets

table = sets.load("deerwester").set_index("term").T
model = estep.PLSA(2, n_init=10, prior="default", random_state=0).fit(table)
print(model.summary())
for title, shares in zip(table.index, model.document_topics_.round(2), strict=True):
    print(title, shares)

# %%
# Bars are the probabilities of words in each topic.

figure = model.plot(n=8)

# %%
# A new title is placed by its words: "graph of users".

new = table.iloc[[0]] * 0
new[["graph", "user"]] = 1
print(model.transform(new).round(2))
