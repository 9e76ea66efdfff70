"""What a recipe will cost, known before it is spent: sizes of models, work of jobs, sums. No torch."""
