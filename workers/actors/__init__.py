"""What is done with a message, one folder or file for each actor name.

enrollment_upsert/       make AFAS's enrollment true in Pluvo: account, link, place in the course, removal
completion_write_back/   write a completion's date into AFAS
completion_fetch.py      ask Pluvo about a completion that a webhook told of
"""
