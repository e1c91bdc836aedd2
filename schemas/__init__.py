"""What crosses a boundary: one frozen type per event, its headers, and the one JSON codec."""
