"""Fine-tuning of a backbone with its head."""
