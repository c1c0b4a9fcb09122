"""FAISS: kinds of index, metrics, vectors, searches."""
