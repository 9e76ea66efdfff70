"""How the scores of a round are refreshed: which problems are sampled for them, and what they are made from.

`vas.refresh` names one. A member defines

- `TITLE`, its name in print, and `EXAMPLE`, the lines of a recipe that choose it;
- `ROLLOUTS`: "sampled" if the policy that the round starts from is asked for new responses, "training" if the scores
  are made from the rollouts and verdicts of the last round's training;
- `KEEPS_SCORES`: whether a problem without new responses keeps the score that it had;
- `select(settings, scores, step)`, unless all problems are sampled: which ones are, a mask (M,), from the last round's
  scores (a table with the columns of `mmr1.vas.read.SCORES`) at the round's first step;
- `Settings`, if it has any.

A member whose scores are made from all verdicts so far, of training and of earlier passes, defines instead of `select`

- `follow(settings, rows, evidence, step)`: a `mmr1.vas.tracking.Belief` about every problem's pass rate;
- `weigh(settings, belief)`: the scores (M,), and `choose(settings, belief)`: the mask (M,) of those that are sampled;
- in its settings `share`, 0 if nothing is sampled in any round, and `first`, whether the first round samples.

A run's first round has no scores to build on, so that all of its problems are sampled whatever else the member says.
"""
