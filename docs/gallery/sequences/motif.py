"""
A motif in promoters: where a protein binds
===========================================

Eighteen stretches of DNA in front of genes of a bacterium, 105 letters each. A protein, CRP, binds to every one of them: at
places with much the same letters, which this search is not told. One site in every sequence, 12, 16 or 26 letters.
"""

import estep
from estep.data import sets

table = sets.load("promoters")
promoters = dict(zip(table["name"], table["sequence"], strict=True))
search = estep.MotifFinder([12, 16, 26], n_init=10, random_state=0).fit(promoters)
for tried in search.widths_:
    print(f"{tried['width']} letters: log-likelihood {tried['log_likelihood']:.1f}, BIC {tried['bic']:.1f}")
print(search.consensus_)

# %%
# The two ends mirror one another on the two strands: the protein binds as a pair. Columns that are tied so have half the
# parameters and are preferred.

pair = estep.MotifFinder(16, palindrome=True, n_init=10, random_state=0).fit(promoters)
print(f"as a pair: BIC {pair.motifs_[0].bic:.1f}")

# %%
# Where experiments found the protein (sites of 22 letters, which begin three before ours), and where the search did:

sites = search.sites_
known = table[["site", "second_site"]].sub(1).to_numpy()
near = (abs(sites.start[:, None] - 3 - known) <= 3).any(axis=1)
print(f"{near.sum()} of {len(near)} sites within three letters of a known one")
for row in sites.rows():
    print(f"{row['name']:8} {row['start']:3} {row['word']} {row['bits']:5.1f} bits")

# %%
# Letters are as high as they are informative; below, the sequences and their sites.

figure = search.plot(promoters)
