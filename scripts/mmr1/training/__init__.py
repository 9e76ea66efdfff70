"""What supervised fine-tuning and GRPO share: how a model is divided among ranks, and what memory that takes."""
