"""`npsflow schemas`: the contracts as files."""

from pathlib import Path

import click

from npsflow.schemas.export import documents


@click.group()
def schemas() -> None:
    """JSON Schemas and the AsyncAPI document of the topics."""


@schemas.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if a file is missing or out of date.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default="schemas/generated")
def export(directory: Path, check: bool) -> None:
    """Write the files into DIRECTORY, schemas/generated without one."""
    stale = {name: content for name, content in documents().items() if _read(directory / name) != content}
    if check:
        for name in stale:
            click.echo(f"out of date: {directory / name}", err=True)
        if stale:
            raise click.ClickException(f"write them again: npsflow schemas export {directory}")
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in stale.items():
        (directory / name).write_bytes(content)
        click.echo(directory / name)
    if not stale:
        click.echo(f"up to date: {directory}", err=True)


def _read(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
