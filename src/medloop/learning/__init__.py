"""How networks are trained: augmentation, batches, optimisation, checkpoints."""
