"""What is said to people, piece by piece: a code and values, so that OBS can say it in the user's language.

English is the language of logs, of the CLI and of what the worker and the engine say. A text of theirs is
found again here by its template, so they need to know nothing of codes; what is not found is passed on as it
is. The plugin has the same templates in data/locale, which a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import accumulate

from limner.daemon.protocol import MAX_SAYINGS, Saying

JOINT = "; "

TEMPLATES = {
    # Of a session: status.py.
    "bypassed": "Bypassed: the source is shown",
    "live": "Live: {fps} fps, {delay} ms delay, {model} on {device}",
    "overloaded": "Overloaded: {fps} of {wanted} fps, {delay} ms delay",
    "fewer_steps_or_programs": "allow fewer steps or close other programs",
    "fewer_programs": "close other programs",
    "no_frames": "Ready: {model} on {device}, no frames come in",
    "first_frames": "Painting the first frames: {model} on {device}",
    "preparing": "Preparing {model} on {device}",
    "steps_give_way": "{steps} of {wanted} steps to keep up",
    "size_gives_way": "{width}×{height} to keep up",
    "frames_give_way": "{painted} of {wanted} frames to keep up",
    # Of the worker's life: worker_view.py, supervisor.py, worker/.
    "starting": "Starting the painter",
    "libraries": "Loading the libraries",
    "loading_part": "Loading {model}, {part}: {done} of {whole}",
    "loading": "Loading {model}",
    "warming": "Warming up {model}",
    "share": "{percent}% done",
    "killed_for_memory": "The painter was killed ({signal}, perhaps for want of memory)",
    "killed": "The painter was killed ({signal})",
    "ended": "The painter ended with code {code}",
    "mute": "The painter said nothing for {seconds} s",
    "hung": "The painter hung: no picture for {seconds} s",
    "not_started": "The painter cannot be started: {reason}",
    "stopped": "The painter stopped: {reason}",
    "again_see": "starting it again in {seconds} s (see {file})",
    "again_now_see": "starting it again (see {file})",
    "again_in": "starting it again in {seconds} s",
    "again": "starting it again",
    "no_model": "{model} is not on this machine; run: limner models pull {model}",
    "model_lacks": "{model} is not complete, {file} is missing; run: limner models pull {model}",
    "model_partial": "{model} is not whole yet, or was found damaged; run: limner models pull {model}",
    "no_memory": "Not enough memory for {model} as planned: {reason}",
    "not_loaded": "Cannot load {model}: {reason}",
    "failed": "Painting failed: {reason}",
    # Why one session is not painted: engine/slo_admit.py, worker/room.py, worker/blank.py.
    "no_place": "{which} stream does not fit: all {streams} would take {percent} % of this machine",
    "no_place_in_time": "{which} stream does not fit: the streams would hold each other up for too long",
    "would_fit": "it would with {offer}, or when another one ends",
    "would_fit_all": "it would if all had {offer}, or when another one ends",
    "end_another": "end another one first",
    "no_memory_at_all": (
        "not enough memory even for the smallest picture; close what else uses the device, or "
        "choose a smaller model"
    ),
    "comes_out_blank": (
        "the picture comes out blank: check the model's files (limner models verify), or choose "
        "bf16 weights (limner daemon --weights bf16)"
    ),
    "ranks_go_on": "painting goes on with the others",
    "rank_lost": "A rank is lost",
    "rank_joins": "A device joins: painting goes on with it",
    # Of the look: worker/, and the engine's notes.
    "text_waits": "waiting for the text encoder to read the prompt",
    "look_waits": "waiting for the text encoder: the look changes when it has read the prompt",
    "source_waits": "waiting for the text encoder: the source is shown until it has read the prompt",
    "lost": "painted frames are lost: nobody gives their slots back",
    "blank": "the picture came out blank and was begun anew",
    "unknown_words": "words that the model does not know: {words}",
    "bad_prompt": "the prompt cannot be painted: {reason}",
    "lora_loading": "loading the LoRA {names}",
    "no_lora_memory": "painted without LoRAs: there is not enough memory for them",
    "no_lora": "painted without LoRAs: {reason}",
    "memory_chunks": "memory allows short chunks only",
    "memory_steps": "memory allows {steps} of {wanted} steps",
    "memory_size": "memory allows {width}×{height}",
    # Notes on a change: settings.py.
    "least_steps": "least steps {least} is more than {steps}: {most} it is",
    "no_words": "the prompt is empty: the model paints without words",
    "no_strength": "strength 0 shows the source",
}
"""English by code. Where two fit a text, the first is meant."""

_PLACE = re.compile(r"\\\{(\w+)\\\}")


def say(code: str, /, **values: object) -> Saying:
    """Return a piece; the values must be those of its template."""
    texts = {name: str(value) for name, value in values.items()}
    return Saying(code=code, values=texts, text=TEMPLATES[code].format(**texts))


def sentence(sayings: Iterable[Saying]) -> str:
    """Return the pieces as one English sentence."""
    return JOINT.join(saying.text for saying in sayings)


def found_in(text: str) -> list[Saying]:
    """Return an English text in pieces that are known, and others without a code in between."""
    pieces, found = text.split(JOINT) if text else [], list[Saying]()
    while pieces:
        # A template may have a joint of its own: the longest beginning that is known counts.
        starts = list(accumulate(pieces, lambda so_far, piece: so_far + JOINT + piece))
        known = next(((n, one) for n in range(len(starts), 0, -1) if (one := _known(starts[n - 1]))), None)
        length, saying = known or (1, Saying(text=pieces[0]))
        found.append(saying)
        pieces = pieces[length:]
    return found


def of_notes(notes: Iterable[str]) -> list[Saying]:
    """Return notes in pieces, as many as a message holds."""
    return fitting([saying for note in notes for saying in found_in(note)])


def fitting(sayings: list[Saying]) -> list[Saying]:
    """Return as many pieces as a message holds: those beyond are said in the last, without a code."""
    if len(sayings) <= MAX_SAYINGS:
        return sayings
    kept, beyond = sayings[: MAX_SAYINGS - 1], sayings[MAX_SAYINGS - 1 :]
    return [*kept, Saying(text=sentence(beyond))]


def _known(text: str) -> Saying | None:
    for code, pattern in _patterns().items():
        if match := pattern.fullmatch(text):
            return Saying(code=code, values=match.groupdict(), text=text)
    return None


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    return {code: re.compile("".join(_parts(template)), re.DOTALL) for code, template in TEMPLATES.items()}


def _parts(template: str) -> Iterator[str]:
    """Return a template as a pattern; a name that comes again stands for the same value."""
    seen: set[str] = set()
    for number, part in enumerate(_PLACE.split(re.escape(template))):
        if number % 2 == 0:
            yield part
        elif part in seen:
            yield f"(?P={part})"
        else:
            seen.add(part)
            # A value ends where the next piece begins.
            yield f"(?P<{part}>(?:(?!{JOINT}).)+)"
