"""Stage `rollup`: counts in, rolling windows of scores out."""
