"""Manifests and label files: CSV, TSV, JSON lines, Parquet."""
