"""`make soak`: `make run` for an hour, its demo at ten times speed, and what that leaves behind.

Each module is one of the things that are looked at: memory, logs, tables and metrics. The visitor sees
to it that the pages have something to do.
"""
