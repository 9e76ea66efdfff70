"""The one reading of answers: what rewards, SFT data and benchmarks take for the answer of a response."""
