"""Files of a stored head: head.json, split.parquet, the model."""
