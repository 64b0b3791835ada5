"""Tests of dunning, and the servers and guards they run behind."""
