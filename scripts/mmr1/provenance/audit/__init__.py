"""The audit: is a result what its records say, from which bytes, code, environment and machine, and what changed since.

`archive` finds the record of the job that made a file, `walk` goes from a result to its sources, and each other module
compares one kind of thing with what records say and returns what it found (`findings`).
"""
