"""What notifiers say and when: messages, digests and the queue. Pure."""
