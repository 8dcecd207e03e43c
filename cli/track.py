"""``media2face track``: the face in a video or a picture, as animation."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "read the face in a video or a picture: expression and head, as animation"
EXAMPLES = """examples:
  media2face track me.mp4 -o me.mp4.npz
  media2face track me.mp4 -o avatar.mp4          # the drawn head does what you did, with your sound
  media2face track smile.jpg -o smile.csv        # one frame

Live, from a camera: media2face avatar --face-tracker, see docs/face_tracker.md. For data to train on, media2face
extract fits landmarks instead, which is slower and closer."""

PICTURES = (".jpg", ".jpeg", ".png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("source", type=Path, metavar="VIDEO|PICTURE", help="a file")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="its suffix says the format")
    parser.add_argument("--smoothing", type=float, default=1.0, help="0 none, larger is smoother and later (default 1)")
    parser.add_argument("--field-of-view", type=float, default=60.0, metavar="DEG", help="of the camera (default 60)")
    parser.add_argument("--confidence", type=float, default=0.5, help="faces seen less surely are not there")
    parser.add_argument("--provider", default="auto", choices=("auto", "cpu", "cuda", "tensorrt"))
    parser.add_argument("--weights", type=Path, help="folder of the weights (default: those that ship)")


def run(options: argparse.Namespace) -> int:
    """Track, then write."""
    from tqdm import tqdm

    from media2face.bodies import check_output, export
    from media2face.data.extraction.video import Video
    from media2face.runtime.errors import ConfigError, InputError
    from media2face.runtime.pictures import MAX_BYTES, decode_picture
    from media2face.runtime.tracking import track_frames
    from media2face.runtime.vision import FaceTracker, TrackerConfig

    check_output(options.output)
    if not options.source.is_file():
        raise InputError(f"expected a video or a picture, found no file {options.source}")
    if options.output.resolve() == options.source.resolve():
        raise ConfigError(f"the output {options.output} is the source itself: choose another name")
    config = TrackerConfig(options.confidence, options.field_of_view, options.smoothing)
    tracker = FaceTracker(options.weights, options.provider, config)
    if options.source.suffix.lower() in PICTURES:
        with open(options.source, "rb") as file:
            picture = decode_picture(file.read(MAX_BYTES + 1))
        performance, share = track_frames(tracker, [(0.0, picture)])
    else:
        video = Video(options.source)
        sound = video.sound()
        with tqdm(desc="track", unit="s", disable=None, bar_format="{desc}: {n:.1f} s of video [{elapsed}]") as bar:
            performance, share = track_frames(
                tracker, video.frames(video.stride), sound[0] if sound else None, lambda time: bar.update(time - bar.n)
            )
        if video.damaged:
            print(f"the video ends early: {video.damaged}")
    export(performance, options.output, decoder=tracker.decoder)
    print(f"{len(performance.weights)} frames, a face in {100 * share:.0f} % of the pictures, in {options.output}")
    return 0
