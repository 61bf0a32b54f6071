"""Encoders from face crops and optical flow to feature vectors."""
