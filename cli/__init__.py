"""The ``media2face`` command: one file per sub-command."""
