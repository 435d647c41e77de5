"""What the user configured, as strict frozen models: an unknown key is an error, and all problems come at
once.

Nothing here opens a file of data or imports a data library.
"""
