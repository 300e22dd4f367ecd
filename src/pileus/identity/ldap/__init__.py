"""Sign-in with the password of a directory (LDAP): servers, links, and what happens at a sign-in."""
