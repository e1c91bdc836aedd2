"""The commands of `npsflow`, one file each; each is imported only when it is called."""
