"""How a form's answers become responses. Pure."""
