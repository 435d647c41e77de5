"""The catalogue of datasets in the lake: versions of what stages have written, who wrote them, and their columns.

One JSON document for each version, and for each dataset a head that is changed by compare-and-set. No rows are kept here.
"""
