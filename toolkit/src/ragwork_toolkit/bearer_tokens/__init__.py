"""The platform's bearer tokens: their form, how one is looked up, and what a bad one is answered."""
