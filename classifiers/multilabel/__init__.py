"""Several labels an image: one-vs-rest heads, from the labelled rows to the predictions."""
