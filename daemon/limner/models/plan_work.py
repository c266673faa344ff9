"""Bytes that a stage needs while it works, beside weights and memory: its activations at their peak.

Counted by hand from what is alive at the fullest moment of a stage, and held by tests to what really is (the
engine is run on shapes alone, and its live tensors are counted). The three stages of successive chunks run
at the same time, each in memory of its own, so they add up.
"""

from __future__ import annotations

from limner.models.plan_dit import FRAMES_PER_LATENT, DitSizes, Weights
from limner.models.plan_small_vae import FOLD, PocketVaeSizes, TaehvSizes
from limner.models.plan_vae import RGB, WanVaeSizes

NUMBER_BYTES, FLOAT_BYTES = 2, 4
RGBA = 4

WAN_VAE_FRAMES = 14
"""Frames alive in a residual block of the full size, as that block has them: its input 4, that with the past
before it 6, what a convolution makes of it 4. Encoder and decoder are alike."""
WAN_VAE_HASTENED_FRAMES = 26
"""The same with `fewer_products`: its input 4, the window 6, its sums 6, their products 6 and what is made of
them 4."""
TAEHV_ENCODER_FRAMES, TAEHV_DECODER_FRAMES = 10, 8
"""The same for the encoder's first layers and the decoder's last."""
POCKET_FRAMES = 12
CHUNKS_AROUND = 4
"""Chunks of frames on the device at a time: of the source as it comes and as it is used, and painted ones."""


def dit_work_bytes(
    dit: DitSizes,
    weights: Weights = "bf16",
    *,
    rows: int,
    latents: int,
    width: int,
    height: int,
    number_bytes: int = NUMBER_BYTES,
) -> int:
    """Peak of one forward of `rows` rows, each a chunk of `latents` latent frames.

    The fullest moment is in self-attention, when the keys of the whole window are turned in float32, or in
    the feed-forward network.
    """
    tokens = rows * latents * dit.tokens(width, height)
    window = rows * dit.window_frames * dit.tokens(width, height)
    summed_bytes = FLOAT_BYTES if dit.wide_residual else number_bytes
    # Alive: the forward's input and the block's, the same modulated, queries and keys before and after their
    # norm, values; the window's keys in float32, the same turned, and those as numbers of the model.
    given = tokens * (2 * summed_bytes + 6 * number_bytes)
    attending = (given + window * (2 * FLOAT_BYTES + number_bytes)) * dit.dim
    # Alive: the forward's input, the block's, and what both attentions made of that; what the first of them
    # gave, and the input modulated; the hidden layer before and after its GELU.
    given = tokens * dit.dim * (3 * summed_bytes + 2 * number_bytes)
    hidden = tokens * dit.ffn_dim
    feeding = given + 2 * hidden * number_bytes
    if weights == "int8":
        # One weight at a time is widened for its product; the last one's result is there by then.
        widened = dit.dim * dit.ffn_dim + tokens * dit.dim
        feeding = given + (hidden + max(hidden, widened)) * number_bytes
    if weights == "fp8":
        # The hidden layer is scaled in float32 before it becomes bytes.
        feeding = given + hidden * (number_bytes + 2 * FLOAT_BYTES)
    return max(attending, feeding)


def wan_vae_work_bytes(vae: WanVaeSizes, width: int, height: int) -> tuple[int, int]:
    """Peaks of encoding and of decoding one latent frame."""
    frame = vae.base_dim * vae.dim_mult[0] * width * height * NUMBER_BYTES
    frames = WAN_VAE_HASTENED_FRAMES if vae.fewer_products else WAN_VAE_FRAMES
    return frames * frame, frames * frame


def taehv_work_bytes(vae: TaehvSizes, width: int, height: int) -> tuple[int, int]:
    """Peaks of encoding and of decoding one latent frame."""
    position = width * height * NUMBER_BYTES
    encoding = TAEHV_ENCODER_FRAMES * vae.encoder_width * position
    return encoding, TAEHV_DECODER_FRAMES * vae.decoder_widths[-1] * position


def pocket_vae_work_bytes(vae: PocketVaeSizes, width: int, height: int) -> tuple[int, int]:
    """Peaks of encoding and of decoding one latent frame. An estimate: they are small."""
    widest = max(vae.frame_width, vae.fine_width, RGB * FOLD**2)
    peak = POCKET_FRAMES * widest * (width // FOLD) * (height // FOLD) * NUMBER_BYTES
    return peak, peak


def frames_bytes(width: int, height: int, latents: int = 1) -> int:
    """Bytes of the frames themselves, as they come and go."""
    return CHUNKS_AROUND * latents * FRAMES_PER_LATENT * width * height * RGBA
