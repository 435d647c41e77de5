"""What a pipeline remembers in the lake from one run to the next: counts of rows, and how far its sources were read.

Documents that are written by compare-and-set. Nothing here reads or writes rows.
"""
