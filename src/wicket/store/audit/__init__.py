"""The audit log: what an entry is, how it is appended, read and verified.

entry.py says which rows there are and what their hashes cover; ledger.py what a writer of the log can do, with
sqlite_ledger.py and postgres_ledger.py doing it; query.py answers readers, by way of planning.py and lanes.py along
indexes; export.py writes the log out, following.py reads on from a position, matching.py says of one entry what the
others ask of the database; verify.py checks every chain.
"""
