"""What scores mean: scales, segments, statistics and severity. Shared by the stages, pure."""
