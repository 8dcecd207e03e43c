"""The speech encoder: a causal Wav2Vec2 whose features carry phones, see README.md of this folder."""
