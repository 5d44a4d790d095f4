"""Policies in Rego for the kit of engines: right, old, wrong and hostile ones."""

from typing import Final

HEAD: Final = "package oculus.authz\n\ndefault allow := false\n\n"
READERS: Final = HEAD + 'allow if {\n\tinput.action == "db:read"\n\t"reader" in input.subject.tags\n}\n'
#: Goes through 400 million pairs when the question has a positive number ``n``.
LOOP: Final = (
    HEAD
    + "allow if {\n\tinput.n > 0\n\tsome a in numbers.range(1, 20000)\n"
    + "\tsome b in numbers.range(1, 20000)\n\ta * b < input.n - input.n\n}\n"
)
READ: Final = {"action": "db:read", "subject": {"tags": ["reader"]}}
WRITE: Final = {"action": "db:write", "subject": {"tags": ["reader"]}}

#: Texts that are v0, with the question that they allow.
OLD_TEXTS: Final = {
    "a plain body": 'default allow = false\nallow { input.action == "db:read" }',
    "membership without its import": 'default allow = false\nallow { "reader" in input.subject.tags }',
    "membership with its import": (
        "import future.keywords.in\ndefault allow = false\nallow { input.action in [input.action] }"
    ),
    "an explicit value": 'allow = true { input.action == "db:read" }',
    "several bodies": 'allow { input.action == "no" }\n{ input.action == "db:read" }',
    "a chain of else": 'allow { input.action == "no" } else = true { input.action == "db:read" }',
    "a set of denials": (
        'deny[message] { input.action == "db:write"; message := "no writing" }\nallow { count(deny) == 0 }'
    ),
    "a constant member": 'roles["reader"]\nallow { roles[input.subject.tags[_]] }',
    "a function": 'is_reader(tags) { tags[_] == "reader" }\nallow { is_reader(input.subject.tags) }',
    "a function with a value": 'kind(x) = y { y := split(x, ":")[1] }\nallow { kind(input.action) == "read" }',
    "a set as a value": 'kinds = {"db:read", "db:list"}\nallow { kinds[input.action] }',
    "braces in a text": 'allow { input.action != "allow {"; input.action == "db:read" }',
}
#: Texts that are v1, which must be taken as they are.
NEW_TEXTS: Final = {
    "plain": 'allow if input.action == "db:read"',
    "imported": 'import rego.v1\n\nallow if input.action == "db:read"',
    "imported twice over": (
        'import rego.v1\nimport future.keywords.in\nallow if input.action in ["db:read"]'
    ),
    "else": 'allow if { input.action == "no" } else := true if { input.action == "db:read" }',
    "a set": 'deny contains "x" if input.action == "db:write"\n\nallow if count(deny) == 0',
    "its own package": 'reader if input.subject.tags[_] == "reader"\n\nallow if data.oculus.authz.reader',
}
#: Text after the package, with what the error must name and its line and column; 0 for any.
WRONG_TEXTS: Final = {
    "an open brace": ("allow if {\n", 0, 0),
    "a stray bracket": ("default allow := false\n\nallow if {\n\tinput.a == 1)\n}\n", 5, 0),
    "no such function": ("allow if nosuch(input.a)\n", 2, 0),
    "an unsafe variable": ("allow if nobody_said_so\n", 2, 0),
    "a control character": ("allow if\x00 true\n", 2, 9),
    "half a character": ('allow if input.a == "\ud800"\n', 2, 22),
    "a lone carriage return": ("# harmless\rallow if true\n", 2, 11),
    "a template string": ('allow if $"{input.a}" == "b"\n', 2, 10),
}
#: Texts that reach beyond their input.
REACHING_TEXTS: Final = {
    "http.send": 'allow if http.send({"method": "get", "url": "http://127.0.0.1:1/"}).status_code == 200',
    "http in brackets": 'allow if http["send"]({"method": "get", "url": "http://127.0.0.1:1/"})',
    "http as a replacement": "allow if count([1]) == 1 with count as http.send",
    "name resolution": 'allow if count(net.lookup_ip_addr("localhost")) > 0',
    "the process": "allow if opa.runtime().env.OPA_TOKEN",
    "all data": "allow if data",
    "data of others": "allow if data.ragwork.policies",
    "data in brackets": 'allow if data["ragwork"]',
    "data by import": "import data.ragwork as others\n\nallow if others",
    "data by walking": "allow if { walk(data, [path, value]); value == true }",
    "data replaced": "allow if input.a with data.b as 1",
    "a second package": "allow if true\n\npackage other",
    "a reserved name": "ragwork_answer := 1\n\nallow if true",
}
WRONG_PACKAGES: Final = {
    "none": "allow if true\n",
    "another": "package other\n\nallow if true\n",
    "a longer one": "package oculus.authz.more\n\nallow if true\n",
    "a longer one in brackets": 'package oculus.authz["more"]\n\nallow if true\n',
    "in pieces": "package oculus. authz\n\nallow if true\n",
    "empty": "",
}
#: Values of ``allow`` that are no plain true.
NOT_TRUE: Final = ("false", '"true"', "1", "[true]", "{true}", '{"allow": true}', "null")
HOSTILE_IDS: Final = (
    "", "..", "../../v1/policies/other", "a/b", "a%2fb", "a\\b", 'allow"] {true}', "x\nallow := true", "'; --",
    "data.oculus", "ä\u202e\U0001f468", "x" * 5000, "\ud800", "{}", "*",
)  # fmt: skip
