"""The ranks of a pipeline: how they come, live, die and return."""
