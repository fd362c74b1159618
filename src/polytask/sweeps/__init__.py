"""Sweeps: many runs that differ in some settings, trained side by side, on one machine or several."""
