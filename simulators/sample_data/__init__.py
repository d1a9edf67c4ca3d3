"""Invented tenants, courses and people to fill the simulators with, and the tenants file that fits them."""
