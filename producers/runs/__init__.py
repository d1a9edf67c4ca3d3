"""A run, whatever its direction.

request   asks for a run, or for its end
lease     who works on it, until when, and the fence that stops a stale producer
context   what a producer works under: a lease, or a preview
result    what came of it
keep      what is told of very many rows
"""
