"""``python -m dqgym``: the command ``dqgym``, where that is not on the path."""

import sys
from pathlib import Path

if __name__ == "__main__":
    if not sys.flags.safe_path:
        # Python put the user's folder first. A folder `experiments` in it must not be taken for the one beside this.
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from experiments.cli.entry import main

    main()
