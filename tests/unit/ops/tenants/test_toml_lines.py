"""Where keys stand, whatever the text around them looks like."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.tenants.toml_lines import Lines, Path

TRICKY = '''\
# [not.a.table]
top = """
[[tenants]]
slug = "inside a string"
"""
list = [
  "# no comment", # a comment ]
  ["]"],
]
[[tenants]]
"slug" = 'first'
afas.member_id = "1"
[[tenants.courses]]
event_id = "1"
[tenants.courses.fields]
name = "N" # [x]
[[tenants.courses]]
event_id = "2"
pluvo = { ref = "a", title = "]" }
[[tenants]]
slug = "second"
[[tenants.courses]]
event_id = "3"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("list",), 6),
        (("tenants", 0), 10),
        (("tenants", 0, "slug"), 11),
        (("tenants", 0, "afas", "member_id"), 12),
        (("tenants", 0, "courses", 0, "event_id"), 14),
        (("tenants", 0, "courses", 0, "fields", "name"), 16),
        (("tenants", 0, "courses", 1, "event_id"), 18),
        (("tenants", 0, "courses", 1, "pluvo", "ref"), 19),
        (("tenants", 1, "slug"), 21),
        (("tenants", 1, "courses", 0, "event_id"), 23),
        (("nothing", "like", "this"), 1),
    ],
)
def test_each_key_has_its_line(path: Path, line: int) -> None:
    tomllib.loads(TRICKY)
    assert Lines(TRICKY).line(path) == line


names = st.text("abc", min_size=1, max_size=3)
values = st.sampled_from(
    ['"x"', "1", '["a",\n "b"]', '"""two\nlines"""', "'''\n[x]\n'''", "{ a = 1 }", '"# no"', "true # yes"]
)


@given(st.lists(st.tuples(names, st.dictionaries(names, values, max_size=4)), max_size=6))
def test_a_line_found_really_begins_with_that_key(tables: list[tuple[str, dict[str, str]]]) -> None:
    # given a file of arrays of tables
    text = "".join(f"[[{name}]]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) for name, keys in tables)
    document: dict[str, Any] = tomllib.loads(text)
    lines, written = Lines(text), text.split("\n")
    # then every key is found where it is written
    for name, elements in document.items():
        for number, element in enumerate(elements):
            for key in element:
                assert written[lines.line((name, number, key)) - 1].startswith(f"{key} =")
