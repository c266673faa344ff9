"""`limner demo`: paint a video file."""
