"""What runs in the processes that parse. The server imports none of it, but what says whether it can confine them."""
