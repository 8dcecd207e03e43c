"""Rig, video tracking, synthetic speech and performances, shards."""
