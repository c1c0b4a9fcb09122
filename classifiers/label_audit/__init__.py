"""Label errors, near-duplicates with two labels, and outliers."""
