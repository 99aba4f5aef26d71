"""Generated messages and services of the wire contract, package `twinhead.v1`."""
