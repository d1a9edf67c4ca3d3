"""The product beside what people would build instead, for the same people, calls and servers.

``job.py`` is the work for one person; ``script.py``, ``celery_app.py`` and ``dramatiq_app.py`` are the programs that do
it, and know nothing of the product. ``ours.py`` is all that is taken from the product and its simulators.
"""
