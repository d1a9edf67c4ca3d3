"""The two outside systems over HTTP. No database, no queue, no settings: told everything through the constructor."""
