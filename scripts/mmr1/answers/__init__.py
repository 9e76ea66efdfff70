"""The one reading of answers, for rewards, benchmarks and SFT data.

`response` finds the answer in a response, `sentences` where a text states it, `statements` what a sentence states,
`letters` the options that it names. `notation` brings what is left into one form. `reading` reads that as one of
`values` (number, quantity, interval, point, list, formula, equation, text), with `quantities`, `numerals` and `ranges`
as its parts, and `comparison` compares two, with `expressions`, `units` and `texts` as its own.
"""
