"""People: who is which account in Pluvo, and everything known of one.

links.py         list, show, set, decide, remove       links_check.py    refuse what can't work in Pluvo, then do it
links_import.py  many links from a CSV file            candidates.py     the accounts to choose from
explain.py       why is this person (not) in Pluvo?    next_action.py    what happens next, or what to do
erasing.py       forget a person wholly
"""
