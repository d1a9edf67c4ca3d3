"""What a command prints.

output.py    JSON, lines, tables        progress.py  a live line per tenant     plan_view.py  plans, also as CSV
streams.py   standard output that may go away           files.py     files that operators name
csv_file.py  CSV that Excel reads right                 watch.py     the same again, until Ctrl-C
guards.py    what a guard counted, in words
"""
