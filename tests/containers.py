"""Real films in every container, and in some that are out of the ordinary."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import films
import imageio_ffmpeg


def ffmpeg(*arguments) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def write(path: Path, frames, times=None, pix_fmt: str = "bgr0") -> Path:
    """Writes frames, uint8 [rows, columns, 3], without loss; at these times, in tenths."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("ffv1", rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, 10)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return path


def write_all(directory: Path) -> None:
    """A second or so of a film in every container, and in some that are out of the ordinary."""
    films.cut("bikes", directory / "clip.avi", 0, 40)
    films.cut("bikes", directory / "clip.mp4", 0, 40, codec="libx264")
    small = directory / "small.mp4"
    ffmpeg("-i", directory / "clip.mp4", "-vf", "scale=160:120", "-g", 12, "-bf", 3, small)
    copies = {
        "clip.mov": ["-c", "copy"],
        "clip.mkv": ["-c", "copy"],
        "fragments.mp4": ["-c", "copy", "-movflags", "frag_keyframe+empty_moov"],
        "clip.webm": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8, "-g", 12],
        "vp8.webm": ["-c:v", "libvpx", "-auto-alt-ref", 1, "-lag-in-frames", 8, "-g", 20],
        "clip.gif": [],
        "b_frames.avi": ["-c:v", "mpeg4", "-bf", 2, "-g", 12],
        "pyramid.avi": ["-c:v", "libx264", "-bf", 3],
        "open.mkv": ["-c:v", "libx264", "-x264-params", "keyint=12:open-gop=1:bframes=3"],
        "gaps.avi": [
            "-vf",
            "select='lt(mod(n,13),4)*lt(n,39)'",
            "-fps_mode",
            "vfr",
            "-c:v",
            "mpeg4",
        ],
        "gaps.mkv": ["-vf", "select='lt(mod(n,13),4)'", "-fps_mode", "vfr"],
    }
    for name, options in copies.items():
        ffmpeg("-i", small, *options, directory / name)
    ffmpeg("-ss", 0.7, "-i", small, "-c", "copy", directory / "trimmed.mp4")
    for name, options in OTHERS.items():
        ffmpeg("-i", small, *options, directory / name)
    sound = ["-f", "lavfi", "-i", "sine=d=4"]
    for name in ("sound.mkv", "sound.mp4"):
        ffmpeg(*sound, "-i", small, "-c:v", "copy", "-c:a", "aac", directory / name)


_MPEG = ["-c:v", "mpeg2video", "-bf", 2, "-g", 12, "-q:v", 3]
OTHERS = {
    "clip.m4v": ["-c", "copy"],
    "clip.mpg": ["-c:v", "mpeg1video", "-bf", 2, "-g", 12, "-q:v", 3],
    "clip.mpeg": _MPEG,
    "clip.vob": ["-f", "vob", *_MPEG],
    "clip.ts": ["-c", "copy"],
    "clip.m2ts": ["-c", "copy"],
    "mpeg2.ts": _MPEG,
    "clip.wmv": ["-c:v", "wmv2", "-q:v", 3, "-g", 12],
    "clip.asf": ["-c:v", "msmpeg4", "-q:v", 3],
    "clip.flv": ["-c:v", "flv", "-q:v", 3, "-g", 12],
    "h264.flv": ["-c", "copy"],
    "clip.3gp": ["-c:v", "mpeg4", "-q:v", 3],
    "clip.ogv": ["-c:v", "libtheora", "-q:v", 7, "-g", 12],
}

CLIPS = {
    "clip.avi": 40,
    "clip.mp4": 40,
    "small.mp4": 40,
    "clip.mov": 40,
    "clip.mkv": 40,
    "fragments.mp4": 40,
    "clip.webm": 40,
    "vp8.webm": 40,
    "clip.gif": 40,
    "b_frames.avi": 40,
    "pyramid.avi": 40,
    "open.mkv": 40,
    "gaps.avi": 12,
    "gaps.mkv": 13,
    "trimmed.mp4": 22,
    "sound.mkv": 40,
    "sound.mp4": 40,
    **dict.fromkeys(OTHERS, 40),
}
