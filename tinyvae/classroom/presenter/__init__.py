"""Step mode: a lesson, cell by cell."""
