"""Extraction of feature sets from videos. Only this package uses OpenCV and PyAV."""
