"""The one reading of answers, for rewards, benchmarks and SFT data.

`response` finds the answer in a response, `statements` what a sentence states, `letters` the options that it names.
`notation` brings what is left into one form, `values` reads that as a value (number, quantity, interval, point, list,
formula, equation, text) and compares two, with `expressions`, `units` and `texts` as its parts.
"""
