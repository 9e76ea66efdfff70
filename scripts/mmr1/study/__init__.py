"""The study of docs/study: which trainings it has, what of them is kept, and what follows from that."""
