"""Helpers that tests of every level share; they test nothing themselves."""
