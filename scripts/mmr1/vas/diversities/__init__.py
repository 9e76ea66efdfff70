"""Trajectory diversity scores (TDS, §3 and App. A.3): how different a problem's N responses are.

`vas.diversity` names one. A member defines

- `TITLE`, its name in print, and `EXAMPLE`, the lines of a recipe that choose it;
- `diversity(tokens, offsets, groups, threads)`: the diversity of every group, float64 (G,) in [0, 1], in `threads`
  threads. Arrays are those of `mmr1.vas.bleu`: the responses' own tokens, no padding, no prompt. A member with a class
  `Settings` is given its settings as a fifth argument.

The order of a group's responses does not matter. Decided for all members: an empty response is a response like any
other, and where one response (N = 1) has nothing to differ from, the diversity is 0.
"""
