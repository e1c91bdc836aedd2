"""What an operator does to an installation: check it, send to it, replay what it refused, make its state anew."""
