"""How a process of ours is set up."""
