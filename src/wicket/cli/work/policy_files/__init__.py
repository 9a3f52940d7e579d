"""Policies as files: one agent a file, its policies as they shall be, and tests of what they decide."""
