"""The product's story, a verb a file: inspect, learn, evaluate, predict, compare, export; and sample, demo, doctor beside it."""
