"""Alerts that people read: noticed, told by mail and webhook, and looked at.

kinds.py         which there are, and in which words each is told
watch.py         opens and closes those that follow from what stands in the database
recipients.py    who is told, in which language and when
plan.py          makes deliveries of what is new, and a digest each morning
needs.py         what needs a person, counted
letters.py       the text of a mail
mail.py          one mail to one recipient by SMTP
webhook.py       one signed call
sender.py        takes deliveries one by one, and tries again
service.py       the threads of ``serve`` and ``scheduler`` that do all this
verbs.py         list, acknowledge, mute, test

A delivery is a row (``models/tables/alert.py``). It is sent at least once: a process that is killed between sending
and recording sends it again, with the same Message-ID.
"""
