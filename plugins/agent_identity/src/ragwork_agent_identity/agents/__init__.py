"""Who agents are: their records, what they hold, how others look them up."""
