"""Finds the packages; everything else about the project stands in pyproject.toml, which has no way to say this."""

from setuptools import find_packages, setup

setup(packages=[f"npsflow.{name}" for name in find_packages(include=["schemas*", "streams*", "agents*", "deploy*"])])
