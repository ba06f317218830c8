"""Records that outlive a workspace's cache."""
