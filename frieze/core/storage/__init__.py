"""Files that are whole or not there, on disks and in buckets."""
