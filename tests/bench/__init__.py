"""`make bench`: how fast npsflow is, how much memory it takes, and what it is measured against."""
