"""Parts of images as rows: boxes in files of other tools, and the pixels of a box."""
