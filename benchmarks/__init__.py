"""Measure the whole system (``make bench``) and break it at random (``make chaos``); neither is part of the product."""
