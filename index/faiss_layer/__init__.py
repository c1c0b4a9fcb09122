"""What is asked of FAISS: kinds, vectors, searches."""
