"""Tests of the binding between Rust and Python."""
