"""What we know: the tables, and the words between them. ``models.tables`` has every table."""
