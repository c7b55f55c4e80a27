"""``python -m codesign``: the command line, also for ``accelerate launch -m codesign``."""

from codesign.cli import main

main()
