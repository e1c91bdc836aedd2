"""The process `npsflow fetch`: answers that webhooks only name."""
