"""The web page in front of a worker; needs the extra `web`."""
