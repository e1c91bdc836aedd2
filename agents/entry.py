"""Where the command `npsflow` begins: Ctrl-C is seen to before anything else is imported."""

from npsflow.agents.runtime import interrupts


def main() -> None:
    """Run the command line and end the process."""
    interrupts.end_at_once()
    from npsflow.agents.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
