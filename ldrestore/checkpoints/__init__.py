"""What lies on disk: published files and their conversion, saved folders and their parts, bases, hashes, exports."""
