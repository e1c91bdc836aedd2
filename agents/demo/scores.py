"""(b) Scores, and (d) dead letters: tables of what stands on the topics."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import click

from npsflow.agents.demo import reading, sample, show
from npsflow.agents.demo.workers import DemoFailed
from npsflow.schemas import topics
from npsflow.streams.settings import Where

_SHORT, _LONG = "24h", "7d"
