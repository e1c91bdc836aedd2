"""The process `npsflow board`: cases over HTTP."""
