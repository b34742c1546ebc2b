"""Values where they may change what is around them: in URLs, and JSON of every kind of response."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401

from pathlib import Path

import pytest
from helpers_twins import (
    STYLES,
    Answer,
    Twins,
    difference,
    module_of,
    refused,
    same,
    text_of,
)

# URLs

VALUES = [
    "", "/x", "a/b", "?q=1", "a?b", "a#b", "#", "a#b?c", "%", "%41", "%4", "%zz", "ü%", "ü%ü%",
    "..", "./", "a b", "a&b=c", "+", "a;b", "//", "\\", '"', "'", "[", "{}", "@", ":", "a%2Fb",
    "€", "a\x7f", "a/../b", "?", "&",
]  # fmt: skip

URLS = [
    "f'/{v}'", "f'/{v}/x'", "f'/x/{v}?y={v}'", "f'/x/{v}?y={v}', params={'a': v, 'b': 1}",
    "f'/x?y={v}', params={'ü': 'ü%'}", "f'/x?y={v}', params='ü%41'", "'/p#f', params={'a': v}",
    "'/p?ü=%', params={'a': v}", "'/p?', params=[('a', v), ('a', '1')]", "f'/p?q={v}', params={}",
    "'/p?x=1', params={'a': self.none}", "f'/p?x={v}', params={'a': self.none}",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("url", URLS)
def test_values_in_urls(pair: Twins, tmp_path: Path, style: str, url: str) -> None:
    values = VALUES
    if style == "FastHttpUser" and url.startswith("f'/{v}"):  # what begins with // is no request
        values = [value for value in values if value and value[0] != "/"]
    text = text_of(style, f"for v in self.values: self.client.get({url})")
    theirs = module_of(tmp_path, text, "locust", style)
    ours = module_of(tmp_path, text, "opscore_fast", style)
    expected = pair.by_locust(theirs, {"values": values, "none": None}, [], 1)
    got = pair.by_agent(ours, {"values": values, "none": None}, [], 1)
    assert got == expected, difference(expected, got)


@pytest.mark.parametrize(("url", "value"), [("f'/{self.v}'", "/x"), ("f'/{self.v}/x'", "")])
def test_fast_users_do_not_ask_for_two_slashes(
    pair: Twins, tmp_path: Path, url: str, value: str
) -> None:
    text = text_of("FastHttpUser", f"self.client.get({url}, params={{'a': \"it's\"}})")
    theirs = module_of(tmp_path, text, "locust", "FastHttpUser")
    ours = module_of(tmp_path, text, "opscore_fast", "FastHttpUser")
    expected = pair.by_locust(theirs, {"v": value}, [], 1)
    got = pair.by_agent(ours, {"v": value}, [], 1)
    assert got == expected, difference(expected, got)
    assert got.received == []


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "arguments", ["", ", params={'a': 1}", ", allow_redirects=False", ", params={'ü': self.v}"]
)
def test_the_url_of_a_response(pair: Twins, tmp_path: Path, style: str, arguments: str) -> None:
    body = (
        f"r = self.client.get(f'/r/{{self.v}}?x={{self.v}}'{arguments})\n"
        "self.client.post('/x', data=r.url)"
    )
    theirs = module_of(tmp_path, text_of(style, body), "locust", style)
    ours = module_of(tmp_path, text_of(style, body), "opscore_fast", style)
    for value in ("a", "ü %"):
        for answers in ([], [Answer(302, "", (("Location", "/to?x=1"),), at=f"/r/{value}")]):
            expected = pair.by_locust(theirs, {"v": value}, answers, 1)
            assert pair.by_agent(ours, {"v": value}, answers, 1) == expected, value


def test_json_of_a_response_that_has_not_come(pair: Twins, tmp_path: Path) -> None:
    body = (
        "try:\n    self.client.get('/r').json()\nexcept ValueError:\n    self.client.get('/v')\n"
        "except TypeError as e:\n    self.client.post('/t', data=f'{e}')"
    )
    for style in STYLES:
        theirs = module_of(tmp_path, text_of(style, body), "locust", style)
        ours = module_of(tmp_path, text_of(style, body), "opscore_fast", style)
        expected = pair.by_locust(theirs, {}, [Answer(99999, at="/r")], 1)
        got = pair.by_agent(ours, {}, [Answer(99999, at="/r")], 1)
        assert (got.received, got.raised) == (expected.received, expected.raised)


def test_a_value_in_a_header_that_cannot_be_had_ends_the_task(pair: Twins, tmp_path: Path) -> None:
    body = (
        "j = self.client.get('/r').json()\n"
        "self.client.get('/x', headers={'X-A': f\"{j['a']}\"})\nself.client.get('/y')"
    )
    ours = module_of(tmp_path, text_of("HttpUser", body), "opscore_fast", "HttpUser")
    got = pair.by_agent(ours, {}, [Answer(200, '{"a": [1]}', at="/r")], 1)
    assert [request.target for request in got.received] == ["/r"]
    assert [kind for kind, _ in got.raised] == ["ValueError"]
    got = pair.by_agent(ours, {}, [Answer(200, '{"a": "x\\ny"}', at="/r")], 1)
    assert [request.target for request in got.received] == ["/r", "/y"]
    assert got.requests["GET", "/x"] == (1, 0)


@pytest.mark.parametrize("style", STYLES)
def test_params_that_are_a_text_are_sent_as_in_python_or_not_at_all(
    pair: Twins, tmp_path: Path, style: str
) -> None:
    text = text_of(style, "self.client.get('/p?x=1', params='a=' + self.v)")
    theirs = module_of(tmp_path, text, "locust", style)
    ours = module_of(tmp_path, text, "opscore_fast", style)
    different = []
    for value in ("", "a", "ü", "%", "%41", "%4", "ü%", "[", "a#b", "#", "&=", "?"):
        expected = pair.by_locust(theirs, {"v": value}, [], 1)
        got = pair.by_agent(ours, {"v": value}, [], 1)
        if got != expected:
            different.append(value)
            assert got.received == []
            assert [kind for kind, _ in got.raised] == ["ValueError"]
    known = {"HttpUser": ["%", "%4", "ü%", "["], "FastHttpUser": ["a#b", "#"]}
    assert different == known[style]


@pytest.mark.parametrize(
    ("handler", "value"),
    [("except ValueError:", "/x"), ("except Exception as e:", "/x"), ("except Exception:", "y")],
)
@pytest.mark.parametrize("style", STYLES)
def test_two_slashes_that_a_try_may_catch(
    pair: Twins, tmp_path: Path, style: str, handler: str, value: str
) -> None:
    said = "str(e)" if "as e" in handler else "'no'"
    body = (
        f"try:\n    self.client.get(f'/{{self.v}}')\n{handler}\n"
        f"    self.client.post('/no', data={said})"
    )
    theirs = module_of(tmp_path, text_of(style, body), "locust", style)
    ours = module_of(tmp_path, text_of(style, body), "opscore_fast", style)
    expected = pair.by_locust(theirs, {"v": value}, [], 1)
    assert pair.by_agent(ours, {"v": value}, [], 1) == expected


# JSON

ROOTS = ["null", "[1]", "[]", "5", "5.5", "true", "NaN", '"t"', "{}", '{"k": 1}', "no JSON", ""]


@pytest.mark.parametrize("style", STYLES)
def test_get_of_what_is_no_object(pair: Twins, tmp_path: Path, style: str) -> None:
    body = "x = self.client.get('/r').json().get('k', 'd')\nself.client.get(f'/{x}')"
    answers = [Answer(200, root, at="/r") for root in ROOTS[:-2]]
    same(pair, tmp_path, style, body, answers, len(answers))


TRIES = ["['k']", "[0]", "['o']['k']", "['o'][0]", "['o'][-2]", "['o'].get('k', 1)", ".get('k', 2)"]

HANDLERS = [
    "except IndexError:\n    self.client.get('/i')\nexcept KeyError:\n    self.client.get('/k')\n"
    "except TypeError:\n    self.client.get('/t')\nexcept AttributeError:\n"
    "    self.client.get('/a')\nexcept ValueError:\n    self.client.get('/v')",
    "except LookupError as e:\n    self.client.get(f'/l/{type(e)}')\n"
    "except (TypeError, AttributeError) as e:\n    self.client.get(f'/t/{e}')\n"
    "except ValueError:\n    self.client.get('/v')",
    "except (KeyError, IndexError) as e:\n    self.client.get(f'/l/{e}')\n"
    "except Exception:\n    self.client.get('/e')",
    "except Exception:\n    self.client.get('/e')",
    "except (TypeError, AttributeError):\n    self.client.get('/e')\n    raise\n"
    "except Exception:\n    self.client.get('/f')",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("taken", TRIES)
@pytest.mark.parametrize("handler", HANDLERS)
def test_json_in_a_try(pair: Twins, tmp_path: Path, style: str, taken: str, handler: str) -> None:
    handler = handler.replace("{type(e)}", "{e}")
    body = (
        f"try:\n    x = self.client.get('/r').json(){taken}\n    self.client.get('/x')\n{handler}"
    )
    members = ["{}", "[]", '[1, "x"]', "null", '"s"', '""', "5", "1.5", "true", '{"k": 5}']
    answers = [Answer(200, root, at="/r") for root in ROOTS]
    answers += [Answer(200, f'{{"o": {member}}}', at="/r") for member in members]
    same(pair, tmp_path, style, body, answers, len(answers))


@pytest.mark.parametrize("style", STYLES)
def test_what_is_missing_behind_a_block_fails_its_request(
    pair: Twins, tmp_path: Path, style: str
) -> None:
    body = (
        "with self.client.get('/r', catch_response=True) as r:\n    pass\n"
        "x = r.json()['zz']\nself.client.get('/x')"
    )
    ours = module_of(tmp_path, text_of(style, body), "opscore_fast", style)
    answers = [Answer(200, "{}", at="/r"), Answer(404, "{}", at="/r")]
    got = pair.by_agent(ours, {}, answers, 2)
    assert got.requests == {("GET", "/r"): (2, 4)}
    assert sum(times for *_, times in got.failures) == 2
    missing = [text for *_, text, _ in got.failures if "CatchResponseError" in text]
    assert len(missing) == 1
    assert '"zz"' in missing[0]


TWICE = [
    '{"o": 1, "o": 2}', '{"o": {"a": 1}, "o": {"a": [2]}}', '{"o": 1, "x": {"o": 3}, "y": "o"}',
    '{"o": 1, "\\u006f": 2}', '{"x": [{"o": 2}], "o": [{"o": 1}], "x": [{"o": 1}]}',
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "taken", ["['o']", "['o']['a']", "['o']['a'][0]", "['x'][0]['o']", ".get('x', 1)"]
)
def test_keys_that_stand_twice(pair: Twins, tmp_path: Path, style: str, taken: str) -> None:
    body = (
        f"try:\n    x = self.client.get('/r').json(){taken}\n"
        "    self.client.get(f'/{x if isinstance(x, int) else 0}')\n"
        "except (KeyError, TypeError):\n    self.client.get('/e')"
    )
    answers = [Answer(200, text, at="/r") for text in TWICE]
    same(pair, tmp_path, style, body, answers, len(answers))


@pytest.mark.parametrize("style", STYLES)
def test_members_with_the_same_key_are_counted_once(
    pair: Twins, tmp_path: Path, style: str
) -> None:
    body = "x = len(self.client.get('/r').json()['o'])\nself.client.get(f'/{x}')"
    bodies = ['{"o": {"a": 1, "b": 2, "\\u0061": 3}}', '{"o": [1, 1]}', '{"o": "xy"}', '{"o": {}}']
    answers = [Answer(200, text, at="/r") for text in bodies]
    same(pair, tmp_path, style, body, answers, len(answers))


@pytest.mark.parametrize("style", STYLES)
def test_indices_of_texts(pair: Twins, tmp_path: Path, style: str) -> None:
    body = "j = self.client.get('/r').json()\nself.client.get(f\"/{j['s'][0]}{j['s'][-1]}\")"
    bodies = ['{"s": "xyz"}', '{"s": ["l"]}', '{"s": "\\u00e4/\\ud83d\\ude00"}', '{"s": "a"}']
    same(pair, tmp_path, style, body, [Answer(200, text, at="/r") for text in bodies], 4)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "expression",
    ["r.json()['n']", "r.json().get('n', 0)", "'x' if 5 in r.json()['l'] else 'y'"],
)
def test_ints_that_are_too_large_end_the_task(
    pair: Twins, tmp_path: Path, style: str, expression: str
) -> None:
    text = text_of(
        style, f"r = self.client.get('/r')\nx = {expression}\nself.client.get(f'/{{x}}')"
    )
    ours = module_of(tmp_path, text, "opscore_fast", style)
    large = '{"n": 123456789012345678901234567890, "l": [123456789012345678901234567890]}'
    got = pair.by_agent(ours, {}, [Answer(200, large, at="/r")], 1)
    assert got.raised == [("OverflowError", "an int beyond 64 bits")]
    assert got.requests == {("GET", "/r"): (1, len(large))}


@pytest.mark.parametrize("style", STYLES)
def test_lists_that_are_not_written_alike_are_not_compared(
    pair: Twins, tmp_path: Path, style: str
) -> None:
    body = "j = self.client.get('/r').json()\nself.client.get(f\"/{j['a'] == j['b']}\")"
    same(pair, tmp_path, style, body, [Answer(200, '{"a": [1, 2], "b": [1, 2]}', at="/r")], 1)
    ours = module_of(tmp_path, text_of(style, body), "opscore_fast", style)
    got = pair.by_agent(ours, {}, [Answer(200, '{"a": [1,2], "b": [1, 2]}', at="/r")], 1)
    assert [kind for kind, _ in got.raised] == ["ValueError"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "test", ["'k' in j['o']", "5 in j['o']", "'k' in j", "'k' not in j['o']", "j['n'] in j['o']"]
)
def test_in_within_a_try(pair: Twins, tmp_path: Path, style: str, test: str) -> None:
    body = (
        f"j = self.client.get('/r').json()\ntry:\n    self.client.get(f\"/{{{test}}}\")\n"
        "except TypeError as e:\n    self.client.get(f'/{e}')"
    )
    members = ['{"k": 1}', '["k", 5]', "null", "5"] + ['"kk"'] * (
        "5" not in test and "n" not in test
    )
    answers = [Answer(200, f'{{"n": 5, "o": {member}}}', at="/r") for member in members]
    if "5" in test or "['n']" in test:
        assert "a text only" in refused(pair, tmp_path, style, body)
    else:
        same(pair, tmp_path, style, body, answers, len(answers))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "method",
    ["upper()", "lower()", "strip()", "replace('a', 'b')", "startswith('a')", "endswith('a')"],
)
def test_methods_of_what_is_no_text(pair: Twins, tmp_path: Path, style: str, method: str) -> None:
    body = f"x = self.client.get('/r').json()['o'].{method}\nself.client.get(f'/{{x}}')"
    members = ['"abc"', "null", "5", "1.5", "true", "[]", "{}"]
    answers = [Answer(200, f'{{"o": {member}}}', at="/r") for member in members]
    same(pair, tmp_path, style, body, answers, len(answers))
