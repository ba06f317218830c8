"""Sample collections that are made, not copied: each module writes one kind, from a seed.

A collection is a module with ``write(folder, seed, patients, tell) -> SampleResult``. Its file name is its name.
"""
