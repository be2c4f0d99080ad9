"""Streaming fusion of camera, LiDAR and audio: ingest, align, detect, track, publish."""
