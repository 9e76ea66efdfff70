"""Rewards of a response: is its answer right (`verify`, `reward`), and is it laid out as asked (`extract`)."""
