"""Measures the program on this machine, beside its limits and beside other programs.

Every figure that matters is a ratio of two things measured in the same run, since a machine is
never twice the same. The program measured is the product: its own processes, routes, tables and
durable commits. Peers are installed into environments of their own, at the versions stated.
"""
