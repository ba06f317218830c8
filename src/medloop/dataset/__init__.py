"""The snapshot a model learns from: cases, groups, copies, splits, fingerprint."""
