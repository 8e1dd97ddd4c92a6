"""The fuzzer: what becomes of a hundred thousand messages that nobody would send (`make fuzz`).

seeds           real messages of every kind, to begin with
bodies          how one body is made from another: by its structure, or byte by byte
properties      what must be true of any message, whatever is in it
signatures      and of any message that somebody signs
parser          the first stage, guided by coverage: atheris over the pure modules
clock           how long an input may take there
tables          the second stage: recording.record on a database, and all that reads what it stored
__main__        both, and a closing line; `python -m fuzz FILE` looks at one body again
"""
