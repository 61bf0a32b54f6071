"""Encoders: from images and optical flow to feature vectors."""
