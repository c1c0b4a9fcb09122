"""An image's bytes to the pixels that a network takes."""
