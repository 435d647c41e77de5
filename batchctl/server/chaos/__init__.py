"""Faults on demand: what should go wrong in the local service, how often, and the same way every time.

`rule` and `decision` are pure; `book` keeps the rules in the service's store; `fate` says what befalls one request;
`control` is the route that changes the rules, `remote` its client. Nothing goes wrong unless a rule says so.
"""
