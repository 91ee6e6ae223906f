"""``python -m torchlift.compat script.py [args]``: run a script in whose process Lightning's names mean torchlift.

``-m package.module [args]`` runs a module, as python's own option does. ``torchlift run --as-lightning`` comes here.
"""

import sys

from torchlift.compat.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
