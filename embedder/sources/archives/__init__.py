"""Images inside of other files: tar, zip, TFRecord, Parquet."""
