"""
A poll: the same classes in several groups
==========================================

The model of an exam that is held every year: kinds of people stay the same, and how many there are of each changes. ``by=``
gives each group class sizes of its own, while the answers of a class are shared. Here the groups of a poll before the
American election of 1996 are three levels of education.
"""

import pandas as pd

import estep
from estep.data import sets

poll = sets.load("poll")
words = {1: "left", 2: "left", 3: "left", 4: "middle", 5: "right", 6: "right", 7: "right"}
answers = poll[["self", "clinton", "dole"]].apply(lambda column: column.map(words))
answers["party"] = pd.cut(
    poll["party"], [-1, 1, 4, 6], labels=["Democrat", "between", "Republican"]
)
answers["vote"] = poll["vote"]
school = pd.cut(
    poll["education"], [0, 3, 5, 7], labels=["1 school", "2 college", "3 graduate"]
).astype(str)

model = estep.LatentClass(3, random_state=0).fit(answers, by=school)
shares = pd.DataFrame(
    model.weights_, index=model.groups_, columns=["class 0", "class 1", "class 2"]
)
print(shares.round(2))

# %%
# Are the shares really different? The same classes with one set of shares for all have two times two parameters fewer.

same = estep.LatentClass(3, random_state=0).fit(answers)
print(f"BIC by group {model.bic(answers, by=school):.1f}, one for all {same.bic(answers):.1f}")

# %%
# Two classes see Clinton on the left and Dole on the right, as the candidates did. The third, found above all among people
# without college, places both everywhere.

figure = estep.views.plot_profiles(model)
