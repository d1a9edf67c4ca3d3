"""Runs: started by an operator or by the timetable, shown while they go and afterwards.

start.py      request runs, wait for them       history.py    list, show, stop; exit codes
dry_run.py    plans without acting              timetable.py  due runs, nightly ones, holds that expire
spool.py      plans that may not fit into memory
"""
