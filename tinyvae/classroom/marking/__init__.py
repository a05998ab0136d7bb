"""Folders of submissions."""
