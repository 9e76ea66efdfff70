"""Full refresh (Algorithm 1): N new responses to every problem before the first step of each round."""

TITLE = "all problems"
EXAMPLE = "vas: {refresh: full}"

ROLLOUTS = "sampled"
KEEPS_SCORES = False
