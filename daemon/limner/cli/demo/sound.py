"""The clip's sound, carried into the painted file: copied where the container takes it, else made AAC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.packet import Packet

from limner.cli.demo.clip import start_of

if TYPE_CHECKING:
    AudioPacket = Packet[av.AudioStream]

# What players expect in these containers; Matroska takes everything.
COPIED = {
    "mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"},
    "mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s16be", "pcm_f32le"},
}

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}


class _Track:
    """One audio stream on its way from the clip to the output."""

    def __init__(self, source: av.AudioStream, container: av.container.OutputContainer, kind: str) -> None:
        name = source.codec_context.name.removesuffix("float")
        self._copied = kind not in COPIED or name in COPIED[kind]
        self._container = container
        if self._copied:
            self._target = container.add_stream_from_template(source)
            return
        own = source.codec_context.sample_rate
        rate = own if own in AAC_RATES else 48000
        # Raw sound may not say where its channels belong.
        layout = LAYOUTS.get(source.codec_context.channels, "stereo")
        self._target = container.add_stream("aac", rate=rate, layout=layout)
        self._resampler = av.AudioResampler("fltp", layout, rate, frame_size=1024)

    def put(self, packet: AudioPacket) -> None:
        if self._copied:
            packet.stream = self._target
            self._container.mux(packet)
            return
        for frame in packet.decode():
            for piece in self._resampler.resample(frame):
                self._container.mux(self._target.encode(piece))

    def finish(self) -> None:
        if self._copied:
            return
        for piece in self._resampler.resample(None):
            self._container.mux(self._target.encode(piece))
        self._container.mux(self._target.encode(None))


class Sound:
    """All sound of a clip. It opens the file a second time, so the picture's reader is left alone."""

    def __init__(self, path: Path, container: av.container.OutputContainer, kind: str) -> None:
        self._source = av.open(str(path))
        self._tracks = {
            stream.index: _Track(stream, container, kind)
            for stream in self._source.streams.audio
            if stream.codec_context.sample_rate
        }
        self._packets = self._demux()
        self._next: AudioPacket | None = next(self._packets, None)

    def _demux(self) -> Iterator[AudioPacket]:
        if not self._tracks:
            return
        start = start_of(self._source)
        try:
            for packet in self._source.demux(tuple(self._source.streams[index] for index in self._tracks)):
                if packet.dts is not None and packet.time_base is not None:
                    shift = round(start / packet.time_base)
                    packet.dts -= shift
                    packet.pts = None if packet.pts is None else packet.pts - shift
                    yield cast("AudioPacket", packet)
        except (av.error.InvalidDataError, av.error.EOFError):
            return  # a damaged end costs the sound after it

    def until(self, time_s: float) -> None:
        """Carry over what begins at `time_s` or before."""
        while (packet := self._next) is not None and _time_s(packet) <= time_s:
            index = packet.stream_index
            self._next = None
            self._tracks[index].put(packet)
            self._next = next(self._packets, None)

    def finish(self, end_s: float | None) -> None:
        """Carry over the rest, up to `end_s` if given."""
        self.until(float("inf") if end_s is None else end_s)
        for track in self._tracks.values():
            track.finish()

    def close(self) -> None:
        """Close the clip."""
        self._source.close()


def _time_s(packet: AudioPacket) -> float:
    assert packet.dts is not None and packet.time_base is not None
    return float(packet.dts * packet.time_base)
