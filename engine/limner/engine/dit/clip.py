"""Self-attention over a whole clip, as a stream would have seen it. For training and for tests.

Legend: B clips, T latent frames, L tokens of a latent frame, H heads, K width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limner.engine.dit.attention import attention
from limner.engine.dit.config import DiTConfig
from limner.engine.dit.rope import frame_turns, rotate


class ClipHistory:
    """Block-causal attention: each chunk sees the sinks, the recent frames and itself.

    Exactly the window that the rolling cache gives, positions included: once the window is full, the sinks
    stand right before the recent frames. Chunk by chunk, which costs less than a mask over the whole clip.
    """

    def __init__(
        self,
        config: DiTConfig,
        *,
        frames: int,
        grid: tuple[int, int],
        chunk_frames: int,
        device: torch.device,
    ) -> None:
        assert frames % chunk_frames == 0 and chunk_frames <= config.recent_frames
        self.config = config
        self.frames = frames
        self.chunk_frames = chunk_frames
        self.tokens = grid[0] * grid[1]
        self.turns_TLP = frame_turns(
            frames=frames,
            rows=grid[0],
            columns=grid[1],
            head_dim=config.head_dim,
            theta=config.rope_theta,
            device=device,
        )

    def attend(self, layer: int, q_RNHK: Tensor, k_RNHK: Tensor, v_RNHK: Tensor) -> Tensor:
        """[B, T*L, H, K] each → [B, T*L, H*K]."""
        q = rotate(q_RNHK, self.turns_TLP.flatten(0, 1))
        k = rotate(k_RNHK, self.turns_TLP.flatten(0, 1))
        starts = range(0, self.frames, self.chunk_frames)
        return torch.cat([self._attend_chunk(start, q, k, k_RNHK, v_RNHK) for start in starts], dim=1)

    def _attend_chunk(self, start: int, q: Tensor, k: Tensor, k_plain: Tensor, v: Tensor) -> Tensor:
        end = start + self.chunk_frames
        query = q[:, start * self.tokens : end * self.tokens]
        skipped = end - self.config.window_frames
        if skipped <= 0:
            return attention(query, k[:, : end * self.tokens], v[:, : end * self.tokens])
        sinks = self.config.sink_frames
        recent = slice((end - self.config.recent_frames) * self.tokens, end * self.tokens)
        # Only the distance to the query counts, so the sinks move up by as much as the window has moved.
        sink_turns = self.turns_TLP[skipped : skipped + sinks].flatten(0, 1)
        sink_k = rotate(k_plain[:, : sinks * self.tokens], sink_turns)
        keys = torch.cat([sink_k, k[:, recent]], dim=1)
        values = torch.cat([v[:, : sinks * self.tokens], v[:, recent]], dim=1)
        return attention(query, keys, values)
