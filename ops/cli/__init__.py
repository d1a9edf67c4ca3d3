"""The command ``koppeling``: a file parses, calls a verb and prints. It is imported when its command is chosen.

main.py    the list of commands                 lazy.py      commands that are imported when they are chosen
common.py  options and printing they share      errors.py    whatever went wrong, as one line
"""
