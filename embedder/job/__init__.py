"""One run over a collection: listing, pipeline, inference, shards, commit."""
