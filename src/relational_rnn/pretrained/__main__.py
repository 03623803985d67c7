"""``python -m relational_rnn.pretrained RUN NAME`` makes a shipped model of a run."""

import sys
from argparse import ArgumentError
from collections.abc import Sequence

from jsonargparse import ArgumentParser

from .. import runs
from ..errors import UserError
from ..printable import printable
from .export import export


def main(argv: Sequence[str] | None = None) -> int:
    """Make the model and print its figures; 2 for a user's mistake, reported in one line."""
    parser = ArgumentParser(
        prog="python -m relational_rnn.pretrained", description=__doc__, exit_on_error=False
    )
    parser.add_argument("run", help="a run folder, or its name below runs/")
    parser.add_argument("name", help="name of the new model")
    parser.add_argument(
        "--data",
        type=str | None,
        help="name or folder of the run's text [as in the run's configuration]",
    )
    try:
        given = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
        model = export(runs.find_run(given.run), given.name, folder=runs.SHIPPED, data=given.data)
    except (ArgumentError, UserError) as error:
        print(f"error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    print(f"{model.folder}: {model.weights_path.stat().st_size / 1e6:.1f} MB of weights")
    before = model.summary["before_rounding"]
    for split in ("valid", "test"):
        print(f"{split}: {_shown(model.summary[split])} (before rounding: {_shown(before[split])})")
    return 0


def _shown(scores: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.6g}" for key, value in scores.items())


if __name__ == "__main__":
    sys.exit(main())
