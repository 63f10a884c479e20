"""`python -m mubench`, as `accelerate launch -m mubench` needs it."""

import sys

from mubench.cli import main

sys.exit(main())
