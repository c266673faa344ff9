"""The causal diffusion transformer: Wan 2.1's architecture at any size, with a rolling KV cache."""
