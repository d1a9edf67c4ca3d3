"""``python -m ops.cli``: the same as ``koppeling``."""

from ops.cli.main import main

main()
