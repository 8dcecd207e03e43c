"""Talking video to motion clips: decoding, shots, filters, cleaning, the sync score, and the runner."""
