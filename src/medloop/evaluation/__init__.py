"""How good a model is, said honestly: pure functions of truths, probabilities and patients."""
