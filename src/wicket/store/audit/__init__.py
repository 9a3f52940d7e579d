"""The audit log: what an entry is, how it is appended, read and verified.

entry.py says which rows there are and what their hashes cover; ledger.py what a writer of the log can do, with
sqlite_ledger.py and postgres_ledger.py doing it; query.py answers readers; verify.py checks every chain.
"""
