"""Personal texts sealed with keys of their customers, which are deleted to forget a customer: crypto-shredding."""
