"""Whether an answer equals its gold by math-verify: the interface (`verify`), its processes (`workers`), its speed."""
