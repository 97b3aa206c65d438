"""The embedded model `mvs`: classical multi-view stereo in torch operations, without weights."""
