"""Labels and tags that are given on the page: history, log and the file that the commands read."""
