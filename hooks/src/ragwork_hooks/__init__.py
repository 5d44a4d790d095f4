"""What a plugin author reads: the seams of Ragwork as types. Depends on pluggy and attrs only.

Start with ``plugin`` (what a plugin is), then the module of your domain: ``auth``, ``authz``,
``retrieval``, ``llm``, ``tts``, ``metering``, ``governance``, ``notification``; ``http`` for routes,
``jobs`` and ``events`` for work outside the request, ``storage`` for where things are kept.
"""
