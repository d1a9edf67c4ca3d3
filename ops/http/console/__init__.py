"""The operators' console: pages that call the verbs of ``ops`` and say their codes in the language of who looks.

render.py   a template becomes an answer   routes.py    every page's router   pages/<noun>.py   the pages
states.py   six words for every state      errors.py    problem.html          templates/        base, macros, pages
words.py    times, numbers, ids            choices.py   language, colours     static/           one style, one script
headers.py  what browsers may do           live.py      parts that refresh by themselves
"""
