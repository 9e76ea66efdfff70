"""The one reading of answers, for rewards, benchmarks and SFT data.

`response` finds the answer in a response, `sentences` where a text states it, `statements` what a sentence states,
`letters` the options that it names. `notation` brings what is left into one form, `values` reads that as a value
(number, quantity, interval, point, list, formula, equation, text), and `comparison` compares two, with `expressions`,
`units` and `texts` as their parts.
"""
