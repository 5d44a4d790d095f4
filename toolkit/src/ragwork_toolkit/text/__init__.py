"""What words a text has, in every script: for indexes, questions and answers alike. Needs ``ragwork-toolkit[text]``."""
