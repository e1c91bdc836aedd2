"""The process `npsflow notify`: tells teams what happens to cases."""
