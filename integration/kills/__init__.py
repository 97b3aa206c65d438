"""Kills the server at random moments under load, and checks that nothing acknowledged is lost."""
