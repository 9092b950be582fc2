"""Gives every flag of a program the values that its definition refuses, and reports what happens.

Run as a program, with programs of experiments/ as arguments, in a directory that it may fill. It
loads TensorFlow once and each program in a fork. There the values are parsed as the program parses
its arguments; it is run itself, in a fork again, with one of them and with all that were not
refused. It prints, as JSON, how many values each program was given and what was wrong with which.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import runpy
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
SECONDS = 20  # after which a program that has not refused a value is ended
NO_TEXT = ("caf\udce9", "a\nb", "a\x1b[2Jb", "a\x00b")


def refused_values(flag) -> Iterator[str]:
    """Values that a flag cannot have, by what its definition says of it."""
    from program_flags import checked_flags

    from absl import flags

    yield ""
    yield from NO_TEXT
    parser = flag.parser
    if isinstance(parser, checked_flags.IntegerParser):
        low, high = parser.kind
        yield from map(str, (low - 1, high + 1, -(10**12), 10**30, "9" * 5000))
        yield from ("x", "nan", "inf", "1.5")
    elif isinstance(parser, checked_flags.NumberParser):
        kind = parser.kind
        yield from ("nan", "inf", "-inf", "1e400", "x")
        if kind.at_least is not None:
            yield repr(math.nextafter(kind.at_least, -math.inf))
        if kind.above is not None:
            yield from (repr(kind.above), "-1")
        if kind.at_most is not None:
            yield repr(math.nextafter(kind.at_most, math.inf))
        if kind.below is not None:
            yield repr(kind.below)
    elif isinstance(parser, checked_flags.ItemsParser):
        first = flag.default[0]
        yield from (",", f"{first},", f"{first},{first}", "no such item", f"{first},nan", "'", '"')
    elif isinstance(parser, flags.EnumParser):
        yield from ("x", parser.enum_values[0].upper() + "x", ",".join(parser.enum_values))
    elif isinstance(parser, flags.BooleanParser):
        yield from ("x", "2", "-1", "nan")
    elif isinstance(parser, checked_flags.PathParser):
        yield from ("/dev/null/x", "x" * 5000, "http://localhost:1/x", "HTTP://localhost:1/x")
        if not parser.remote:
            yield from ("gs://bucket/x", "s3://bucket/x")
        if isinstance(parser, checked_flags.ExistingParser):
            yield "missing"
            yield from {"file": ["directory"], "directory": ["file"], "path": []}[parser.kind]
        elif isinstance(parser, checked_flags.NewFileParser):
            for suffix in parser.suffixes or ("",):
                yield from (f"missing/x{suffix}", f"file{suffix}", f"file/x{suffix}")
            if parser.suffixes:
                yield f"x{parser.suffixes[0]}.other"
        else:
            yield from ("file/x", "file" if parser.directory else "directory")
            if parser.new:
                yield "directory"
    elif not isinstance(parser, checked_flags.TextParser):
        raise TypeError(f"--{flag.name}: its definition does not say what it takes")


def accepted_value(flag) -> str:
    """A value that a required flag can have."""
    from program_flags import checked_flags

    parser = flag.parser
    if isinstance(parser, checked_flags.ExistingParser):
        return "directory" if parser.kind == "directory" else "file"
    if isinstance(parser, checked_flags.NewFileParser):
        return f"new{(parser.suffixes or ('',))[0]}"
    return "new"


def own_flags(program: str) -> list:
    """The flags that the program and its flag modules define, without those of libraries."""
    from absl import flags

    def is_own(module: str) -> bool:
        # absl calls the module that is run by the path of the program.
        file = getattr(sys.modules.get(module), "__file__", None) or ""
        return module == program or Path(file).is_relative_to(EXPERIMENTS)

    defined = flags.FLAGS.flags_by_module_dict()
    return [flag for module in filter(is_own, defined) for flag in defined[module]]


def required_flags(program: str) -> list[str]:
    """The names of flags without which the program refuses to start."""
    from absl import flags

    try:
        flags.FLAGS([program])
    except flags.IllegalFlagValueError as error:
        alone = re.findall(r"Flag --(\w+) must have a value", str(error))
        return alone + re.findall(r"one of \((\w+), .*\) must have a value", str(error))
    return []


def walk(program: str, report: int, run, main, **options) -> None:
    """Gives a program every refused value of each of its flags; reports the wrong ends."""
    from program_flags import command_line

    from absl import flags

    wrong, count = [], 0
    needed = {name: accepted_value(flags.FLAGS[name]) for name in required_flags(program)}
    groups = [
        set(re.findall(r"\w+", group))
        for group in re.findall(r"one of \((.*?)\)", _complaint(program))
    ]
    before = _contents()

    def arguments(name=None, value=None):
        group = next((group for group in groups if name in group), set())
        given = {key: other for key, other in needed.items() if key not in group | {name}}
        if name is not None:
            given[name] = value
        return [f"--{key}={entry}" for key, entry in given.items()]

    def end(argv) -> tuple[int, str, str]:
        return _in_a_fork(lambda: run(main, **options), [program, *argv])

    def parsed(argv) -> tuple[int, str, str]:
        """The end of parsing the arguments in this process."""
        said = io.StringIO()
        flags.FLAGS.unparse_flags()
        with contextlib.redirect_stderr(said):
            try:
                command_line.parse_flags(Path(program).name, [program, *argv])
            except SystemExit as refused:
                return refused.code, "", said.getvalue()
            except Exception as error:
                return 99, "", f"{type(error).__name__}: {error}\n"
        return 0, "", ""

    code, _, said = end([*arguments(), "--only_check_args"])
    if code or said:
        wrong.append(f"nothing wrong was given: exit code {code}: {said}")
    for flag in own_flags(program):
        try:
            values = list(refused_values(flag))
        except TypeError as error:
            wrong.append(str(error))
            continue
        for value in values:
            count += 1
            given = arguments(flag.name, value)
            code, printed, said = parsed(given)
            if code == 0 or count == 1:
                code, printed, said = end(given)
            clear = (
                code == 1
                and not printed
                and said.startswith(f"{Path(program).name}: error: ")
                and said.endswith("\n")
                and len(said.splitlines()) == 1
                and f"--{flag.name}" in said
            )
            touched = _contents()
            if not clear or touched != before:
                shown = ascii(f"--{flag.name}={value}")[:100]
                lines = said.strip().splitlines() or [""]
                wrong.append(f"{shown}: code {code}, {len(lines)} lines, last {lines[-1][:300]}")
                if touched != before:
                    wrong[-1] += f", touched {sorted(touched ^ before)}"
                before = touched
    os.write(report, json.dumps({"count": count, "wrong": wrong}).encode())
    os._exit(0)


def _complaint(program: str) -> str:
    """What absl says of the program without flags."""
    from absl import flags

    try:
        flags.FLAGS([program])
    except flags.IllegalFlagValueError as error:
        return str(error)
    return ""


def _contents() -> set[tuple]:
    """What lies in this directory, and when it was changed."""
    found = set()
    for folder, directories, files in os.walk("."):
        for name in (*directories, *files):
            path = os.path.join(folder, name)
            found.add((path, os.lstat(path).st_mtime_ns, os.lstat(path).st_size))
    return found


def _in_a_fork(call, argv: list[str]) -> tuple[int, str, str]:
    """The exit code of a call, minus a signal's number if one ended it, and what it has printed."""
    outputs = [os.memfd_create(name) for name in ("stdout", "stderr")]
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        for number, output in enumerate(outputs, 1):
            os.dup2(output, number)
        sys.argv = argv
        try:
            call()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        os._exit(99)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = []
    for output in outputs:
        texts.append(os.pread(output, 10**6, 0).decode(errors="replace"))
        os.close(output)
    return code, *texts


def _walk_program(name: str) -> dict:
    """What `walk` reports of a program, which runs in a fork."""
    from program_flags import command_line

    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        program = str(EXPERIMENTS / name)
        run = command_line.run
        command_line.run = lambda main, **options: walk(program, write, run, main, **options)
        sys.argv = [program]
        sys.path[0] = str(Path(program).parent)
        runpy.run_path(program, run_name="__main__")
        os._exit(99)
    os.close(write)
    with os.fdopen(read) as report:
        text = report.read()
    os.waitpid(child, 0)
    return json.loads(text or '{"count": 0, "wrong": ["it has not begun, or did not end"]}')


if __name__ == "__main__":
    sys.path[:0] = [str(EXPERIMENTS), str(EXPERIMENTS.parent)]
    for suffix in ("", ".png", ".npz", ".csv", ".pkl", ".pickle", ".keras", ".html"):
        Path(f"file{suffix}").write_text("mine")
    Path("directory").mkdir()
    # What the programs import, once.
    import program_flags.evaluation_flags  # noqa: F401

    import tgan_tf.callbacks  # noqa: F401
    import tgan_tf.export  # noqa: F401

    print(json.dumps({name: _walk_program(name) for name in sys.argv[1:]}))
