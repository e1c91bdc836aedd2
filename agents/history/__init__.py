"""`npsflow import`: the exports of survey platforms."""
