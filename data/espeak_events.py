"""A program of its own: speech and phoneme times from espeak-ng, one JSON request per line of standard input.

espeak-ng's command line tells no phoneme times, its library does. The library is GPL-3, so nothing of the project
imports this file: it is run as a separate process (as `espeak-ng` itself would be); only waves and JSON cross over.

Request: {"voice": "de+m3", "rate": 160, "pitch": 50, "text": "...", "wave": "out.wav"}.
Answer:  {"phones": [[start s, "IPA"], ...], "duration": s}; the wave is 16-bit mono at the library's rate (22,050 Hz).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import sys
import wave

SYNCHRONOUS, PHONEME_EVENTS, PHONEME_IPA = 2, 1, 2
LIST_TERMINATED, EVENT_PHONEME = 0, 7
RATE, PITCH = 1, 3
UTF8, PHONEME_MARKUP = 1, 0x100


class EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", EventId),
    ]


Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))


def main() -> int:
    """Serve requests until the input ends; 1 if the library is not installed."""
    path = ctypes.util.find_library("espeak-ng")
    if path is None:
        sys.stderr.write("libespeak-ng is not installed: apt-get install espeak-ng libespeak-ng1\n")
        return 1
    library = ctypes.CDLL(path)
    sample_rate = library.espeak_Initialize(SYNCHRONOUS, 0, None, PHONEME_EVENTS | PHONEME_IPA)
    pcm, events = bytearray(), []

    def receive(samples, count, event):
        if samples and count > 0:
            pcm.extend(ctypes.string_at(samples, 2 * count))
        i = 0
        while event[i].type != LIST_TERMINATED:
            if event[i].type == EVENT_PHONEME:
                events.append([event[i].audio_position / 1000, event[i].id.string.decode("utf-8", "ignore")])
            i += 1
        return 0

    callback = Callback(receive)
    library.espeak_SetSynthCallback(callback)
    for line in sys.stdin:
        request = json.loads(line)
        pcm.clear()
        events.clear()
        library.espeak_SetVoiceByName(request["voice"].encode())
        library.espeak_SetParameter(RATE, int(request["rate"]), 0)
        library.espeak_SetParameter(PITCH, int(request["pitch"]), 0)
        text = request["text"].encode() + b"\0"
        library.espeak_Synth(text, len(text), 0, 0, 0, UTF8 | PHONEME_MARKUP, None, None)
        with wave.open(request["wave"], "wb") as file:
            file.setparams((1, 2, sample_rate, 0, "NONE", ""))
            file.writeframes(bytes(pcm))
        answer = {"phones": list(events), "duration": len(pcm) / 2 / sample_rate}
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
