"""Data sets as their publishers lay them out, or anybody has them, read into one kind of record."""
