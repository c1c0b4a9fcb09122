"""Active learning: fit a head on few answers, rank all images by it, and choose the images to ask about next."""
