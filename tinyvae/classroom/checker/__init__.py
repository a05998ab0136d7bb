"""The engine that judges somebody's function: laws, cases, shrinking, diagnosis, child process."""
