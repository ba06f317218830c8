"""What was read and computed before, by content. A cache may be deleted at any time."""
