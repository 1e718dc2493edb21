"""Scenarios, by what they touch; each is a function of a `Place`."""
