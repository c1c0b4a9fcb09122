"""Vectors that others have computed: .npy, .npz, Parquet."""
