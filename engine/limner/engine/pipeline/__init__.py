"""One DiT over several ranks: contiguous blocks on each, in a ring."""
