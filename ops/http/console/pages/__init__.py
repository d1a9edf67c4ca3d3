"""The pages, one file a noun: each has a ``router``, which ``routes.py`` includes."""
