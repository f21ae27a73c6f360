"""What is wrong on a host: facts in, findings out, with the rule that is to blame and a fix."""
