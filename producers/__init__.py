"""Find work and enqueue it. Producers read the two systems and write PostgreSQL; they change nothing outside."""
