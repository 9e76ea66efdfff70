"""Scores from training (the paper's §7 names the cost of scores as a limitation): no responses are sampled for them.

A problem that the last round trained on gets the pass rate over all its groups of that round, and the mean of their
diversities (`mmr1.vas.scores.Tally`); others keep their scores. Two things to know: the policy moved during the round,
and a diversity over 8 responses is a little higher than one over 32 (fewer to be alike to).
"""

TITLE = "the last round's training"
EXAMPLE = "vas: {refresh: reuse}"

ROLLOUTS = "training"
KEEPS_SCORES = True
