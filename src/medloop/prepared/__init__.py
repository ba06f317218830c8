"""Decoded once: facts of every picture and arrays mapped from disk."""
