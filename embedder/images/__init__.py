"""From the bytes of an image to the pixels that a network takes: decode, convert to 8 bits, resize."""
