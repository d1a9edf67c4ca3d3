"""Completions, Pluvo → AFAS: from the report and webhooks to one message for each write-back.

producer         one run, step by step; ``preview`` is the same as a dry run, ``steps`` what both share
rules            what is written where, and whether the title and the field can be used
report           reads Pluvo's report
collect          rules and report together; also before people are removed
record           one row for each completion, the first date wins
afas_column      what AFAS shows by now, and what follows from it
planner          which completions are due, their plan lines and messages
webhook_events   finish events, kept and put to work
"""
