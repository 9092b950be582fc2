r"""Converts the table of an HDF5 file's videos between a pandas pickle and CSV.

    python experiments/reference/convert_table.py --input=ucf101_train_pd.pkl \
        --output=ucf101_train.csv --allow_unpickling

The extensions .csv, .pkl and .pickle determine the formats. The columns are start, end, category,
group and scene. Unpickling runs code in the file: give --allow_unpickling only for files that you
trust.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of program_flags

from program_flags import checked_flags, command_line

from absl import flags

from tgan_tf.data import hdf5_table

FLAGS = flags.FLAGS

checked_flags.existing("input", "Table to read, .csv, .pkl or .pickle.", required=True)
checked_flags.new_file(
    "output",
    None,
    "Table to write, .csv, .pkl or .pickle, which must not exist yet.",
    suffixes=(".csv", ".pkl", ".pickle"),
    required=True,
)
flags.DEFINE_bool(
    "allow_unpickling",
    False,
    "Read a pickle, which runs code in it: use only files that you trust.",
)


def main(_) -> None:
    table = hdf5_table.read_table(
        FLAGS.input, FLAGS.allow_unpickling and command_line.is_given("allow_unpickling")
    )
    hdf5_table.write_table(FLAGS.output, table)
    print(f"{FLAGS.output}: {len(table.start)} rows written")


if __name__ == "__main__":
    command_line.run(main)
