"""Tenants: their file, their settings, the check of both systems.

manage.py     list, show, pause, resume, remove      importing.py       bring the stored tenants in line with a file
file.py       read a tenants file                    file_spec.py       what it may say
toml_lines.py where in it each key stands            token.py           make an AFAS token
events.py     the events of AFAS, linked or not
check.py      try both systems, reading only         check_rows.py      look at some rows of an event
check_findings.py   what is found                    check_actions.py   what to do about it
"""

# Words that stand where a slug may stand (``koppeling completions list``): no new tenant is called so.
RESERVED = ("list", "show", "close", "retry")
