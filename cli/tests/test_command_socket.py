"""What a command is told through the server's socket is what was typed."""

import json
from datetime import timedelta

from ragwork_cli import command_socket
from ragwork_hooks.commands import OptionValue


def test_values_of_options_survive_the_way_to_the_server() -> None:
    values: dict[str, OptionValue] = {
        "text": "a",
        "flag": True,
        "number": 3,
        "none": None,
        "time": timedelta(hours=36),
        "several": ("a", "b"),
        "no_more": (),
    }
    sent = json.loads(json.dumps(command_socket._written_options(values)))
    assert command_socket._read_options(sent) == values
