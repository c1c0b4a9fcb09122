"""Label audit: label errors, conflicting near-duplicates, leakage and outliers."""
