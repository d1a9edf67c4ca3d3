"""The JSON API below ``/api``: the verbs of the command line, with the same documents as its ``--json``."""
