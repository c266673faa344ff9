"""The engine: one model on one device, open to any number of streams."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import torch
from torch import Tensor

from limner.engine.config import LARGEST_SIDE, ModelConfig
from limner.engine.cuda_graphs import cuda_recorders
from limner.engine.dit.backends import AttentionKernel, checked_kernel
from limner.engine.dit.finish import Finish, finisher
from limner.engine.dit.quantised import WeightKind
from limner.engine.errors import ConfigError, EngineError
from limner.engine.files import LoraShare
from limner.engine.fusing import BACKEND, compile_no_more
from limner.engine.loading import PartProgress, Weights, load_model
from limner.engine.model import Model
from limner.engine.parts import TextEncoder
from limner.engine.replayed import RecorderOf, no_recorder
from limner.engine.sharing import denoise_together
from limner.engine.stream import DenoiserOf, Stream
from limner.engine.types import Painted, StreamSettings
from limner.engine.wan.lora import LoraSwitch, Prepared


class Engine:
    """A loaded model. `open_stream` gives a stream; streams are independent of one another."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        threads: int | None = None,
        recorder_of: RecorderOf | None = None,
        compile: bool | None = None,
        on_progress: PartProgress | None = None,
        weight_kind: WeightKind = "bf16",
        attention: AttentionKernel | None = None,
    ) -> None:
        """Load a model.

        `dtype`: what it computes in; None takes what is fast on the device. `threads`: CPU threads of this
        process, 1 or more; None leaves them. `recorder_of`: of the graphs that its streams replay; None
        takes CUDA graphs where there is CUDA, `no_recorder` takes none. `compile`: chains of small operations
        become one kernel each (see fusing.py); None: as the config has it, on CUDA. `on_progress` hears of
        the loading of weights that come as ModelFiles. `weight_kind`: of the denoiser's large weights; not
        "bf16" quantises each as it is loaded. `attention`: the kernel that it is tried with first;
        None: as the config has it. Raises
        WeightsError when the weights are not this model's, EngineError when the device is not there or
        cannot have this kind of weights.
        """
        if threads is not None:
            if threads < 1:
                raise EngineError(f"threads is {threads}; it must be at least 1")
            torch.set_num_threads(threads)
        self.config = config
        self.device = usable_device(device)
        self.dtype = dtype if dtype is not None else fast_dtype(self.device)
        self._recorder_of = recorder_of or recorders_of(self.device)
        wanted = config.compile and self.device.type == "cuda" if compile is None else compile
        self._fused_by = BACKEND if wanted else None
        kernel = checked_kernel(config.attention if attention is None else attention)
        self._model = self._load(weights, finisher(weight_kind), on_progress)
        self._model.dit.attention = kernel
        self._loras = LoraSwitch(self._model.dit)

    lora_fault: str = ""
    """Why LoRAs that were in force are so no more; empty: they are. Whoever says it to people, clears it."""
    _denoiser_of: DenoiserOf | None = None
    """Of streams whose denoising stage is not on this device alone."""

    def _load(self, weights: Weights, on_full: Finish, on_progress: PartProgress | None) -> Model:
        model = load_model(
            self.config,
            weights,
            device=self.device,
            dtype=self.dtype,
            on_full=on_full,
            on_progress=on_progress,
        )
        model.dit.pack()
        # Here, not by the first stream's first stage: its other stages use these weights on other queues.
        model.vae.prepare()
        return model

    @property
    def text(self) -> TextEncoder:
        """Encodes the prompts of all its streams; to prepare some, say."""
        return self._model.text

    def close(self) -> None:
        """End what it started. Its streams can go on with the texts that they have."""
        self._model.text.close()

    @property
    def compiles(self) -> bool:
        """Whether chains of small operations become one kernel each; the first of each kind takes seconds."""
        return self._fused_by is not None

    def settle(self) -> None:
        """Compile nothing more, as streams go live; what was not painted yet in some way runs as it is."""
        if self.compiles:
            compile_no_more()

    def free_memory(self) -> None:
        """Give back to the device what no stream holds any more. What it is at is done first."""
        gc.collect()  # Streams and their lanes' last chunks hold one another.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def open_stream(
        self,
        settings: StreamSettings,
        height: int | None = None,
        width: int | None = None,
        *,
        graphs: bool = True,
    ) -> Stream:
        """A new stream of pictures of height×width pixels (the model's default size when not given).

        `graphs`: replay what can be replayed; False calls everything, to compare or to count. Raises
        ConfigError when the model cannot work at this size; with `settings.size`, pictures of any
        size will do.
        """
        height = self.config.default_size[1] if height is None else height
        width = self.config.default_size[0] if width is None else width
        if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
            raise ConfigError(f"{width}x{height} pixels will not do: sides must be 1 to {LARGEST_SIDE}")
        return Stream(
            self._model,
            settings,
            height=height,
            width=width,
            device=self.device,
            recorder_of=self._recorder_of if graphs else no_recorder,
            fused_by=self._fused_by,
            denoiser_of=self._denoiser_of,
        )

    @torch.inference_mode()
    def push_together(self, pairs: Sequence[tuple[Stream, Tensor]]) -> list[Painted | None]:
        """`Stream.push` for several streams of this engine at once: what each of them would give.

        All rows (streams × steps) of one latent size and chunk length share a forward, which costs less than
        a forward each. The time to denoise that they report is the shared one. Raises FrameError as `push`
        does, and EngineError for streams of another engine or twice the same; nothing has happened then.
        """
        if len({id(stream) for stream, _ in pairs}) < len(pairs):
            raise EngineError("a stream is pushed twice at once; push its chunks one after the other")
        for stream, frames_TCHW in pairs:
            if stream.model is not self._model:
                raise EngineError("a stream of another engine; push it there")
            stream.check_frames(frames_TCHW)
        chunks = [stream.encode(frames_TCHW) for stream, frames_TCHW in pairs]
        together = [(stream, chunk) for (stream, _), chunk in zip(pairs, chunks, strict=True)]
        results: list[Painted | None] = []
        for (stream, _), done in zip(pairs, denoise_together(together) if pairs else [], strict=True):
            if isinstance(done, Exception):
                raise done
            results.append(stream.decode(done))
        return results

    def read_loras(self, shares: Sequence[LoraShare]) -> Prepared:
        """LoRAs for `use_loras`: the slow half of `set_loras`, on any thread; nothing changes.

        Raises WeightsError, naming file and key, when one is no LoRA for this model.
        """
        return self._loras.read(shares)

    def use_loras(self, prepared: Prepared) -> None:
        """Put these LoRAs, and no others, in force for all streams. Between pushes; on lanes, `between`.

        The past that streams remember stays as it was painted, as with a change of prompt. Without LoRAs a
        new stream paints exactly as if there had never been any.
        """
        self._loras.use(prepared)

    def set_loras(self, shares: Sequence[LoraShare]) -> None:
        """Read LoRAs and put them in force; none: the model alone. Raises as `read_loras`."""
        self.use_loras(self.read_loras(shares))

    def warm_up(self, height: int | None = None, width: int | None = None, *, steps: int = 1) -> None:
        """Run a throwaway stream, so that first real chunks do not pay for the libraries' preparations."""
        settings = StreamSettings(prompt=self.text.stand_in, steps=steps)
        stream = self.open_stream(settings, height, width)
        shape = (stream.frames_per_chunk, 3, stream.height, stream.width)
        for _ in range(self.config.dit.window_frames + steps):
            stream.push(torch.zeros(shape, dtype=torch.uint8))


def usable_device(device: str | torch.device) -> torch.device:
    """The device, if this machine has it; EngineError otherwise."""
    try:
        usable = torch.device(device)
        torch.empty(0, device=usable)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise EngineError(f"device {device!s} cannot be used: {reason}; 'cpu' always can") from error
    return usable


def recorders_of(device: torch.device) -> RecorderOf:
    """CUDA graphs where there is CUDA."""
    return cuda_recorders(device) if device.type == "cuda" else no_recorder


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware has it; else float16 on a GPU, float32 on a CPU."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            # On a card that only emulates it (RTX 20, GTX 16), it is many times slower.
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if native else torch.float32
