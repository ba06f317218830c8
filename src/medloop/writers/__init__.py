"""What is found, as files that others can read: arrays in, bytes out. Files are written whole or not at all by `workspace`."""
