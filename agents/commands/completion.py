"""`npsflow completion`: what lets a shell complete commands, options and names by Tab."""

import click
from click.shell_completion import get_completion_class

_HOW = {
    "bash": 'put `eval "$(npsflow completion bash)"` into ~/.bashrc',
    "zsh": 'put `eval "$(npsflow completion zsh)"` into ~/.zshrc, behind compinit',
    "fish": "put `npsflow completion fish | source` into ~/.config/fish/config.fish",
}
_PROGRAM = "npsflow"
_VARIABLE = f"_{_PROGRAM.upper()}_COMPLETE"  # as click calls it


@click.command(epilog="\b\n" + "\n".join(f"{shell:<4}  {how}" for shell, how in _HOW.items()))
@click.argument("shell", type=click.Choice(list(_HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes Tab complete commands, options, severities, and names of npsflow.toml; no broker is asked."""
    complete = get_completion_class(shell)
    assert complete is not None  # click has all of them
    click.echo(complete(ctx.find_root().command, {}, _PROGRAM, _VARIABLE).source())
