"""Toolkit: behaviour that several plugins share, beside the types of ``ragwork_hooks``.

A module is here when three plugins need it. Of Ragwork it imports ``ragwork_hooks`` only; the kernel does not
know it.
"""
