"""The seam to language models: asking again, the ladder, budgets, the cache, endpoints, replays."""

from __future__ import annotations

import json
import pickle
import sqlite3
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llm_server import LLMServer, body, hang, say, status, unless
from llm_toys import ASK, KEY, PATIENT, Count, endpoint, own_surroundings_fixture  # noqa: F401
from pydantic import BaseModel

from flame.errors import FlameError, MissingExtraError
from flame.llm import BudgetError, Endpoint, LanguageModelError, Limits, Replay, Usage
from flame.llm.cache import ReplyCache
from flame.llm.dialect import strict

pytest.importorskip("openai")

GOOD = say({"n": 3})


def test_retry_after_is_waited_for() -> None:
    with LLMServer(status(429, Retry_After="0.4"), GOOD) as server:
        used = endpoint(server).ask(ASK, Count)[1]
    first, second = server.requests
    assert used.seconds > 0.4
    assert 0.4 <= second["at"] - first["at"] < 2


def test_the_fault_is_named_to_the_model_when_it_is_asked_again() -> None:
    with LLMServer(say('{"n": "many"}'), GOOD) as server:
        endpoint(server).ask(ASK, Count)
    again = server.requests[1]["messages"]
    assert again[-2] == {"role": "assistant", "content": '{"n": "many"}'}
    assert "n: Input should be a valid integer" in again[-1]["content"]
    assert "however: 'many'" in again[-1]["content"]


def test_text_that_cannot_be_written_down_is_asked_for_again() -> None:
    model = Replay(['{"n": 3, "unit": "\\ud800"}', {"n": 4}])
    assert model.ask(ASK, Count)[0].n == 4
    assert "half of a surrogate pair" in model.asked[1][-1]["content"]


def test_a_reply_that_was_cut_off_is_given_more_room() -> None:
    with LLMServer(say('{"n": 3, "un', finish="length"), GOOD) as server:
        endpoint(server).ask(ASK, Count)
    assert [r["max_tokens"] for r in server.requests] == [2048, 4096]


def test_the_schema_stands_in_the_prompt_and_in_the_request() -> None:
    with LLMServer(GOOD) as server:
        endpoint(server).ask(ASK, Count)
    request = server.requests[0]
    assert json.dumps(Count.model_json_schema()) in request["messages"][0]["content"]
    form = request["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["required"] == ["n", "unit"]
    assert form["schema"]["additionalProperties"] is False


def test_a_strict_schema_keeps_properties_that_are_named_like_keywords() -> None:
    class Odd(BaseModel):
        default: int = 3
        inner: Count | None = None

    found = strict(Odd.model_json_schema())
    assert found["required"] == ["default", "inner"]
    assert found["properties"]["default"] == {"title": "Default", "type": "integer"}
    assert found["$defs"]["Count"]["required"] == ["n", "unit"]


def formats(server: LLMServer) -> list[str]:
    return [r.get("response_format", {"type": "text"})["type"] for r in server.requests]


def test_the_ladder_goes_down_rung_by_rung_and_the_rung_is_remembered() -> None:
    with LLMServer(unless(lambda r: "response_format" in r, GOOD)) as server:
        endpoint(server).ask(ASK, Count)
        endpoint(server).ask(ASK, Count)
    assert formats(server) == ["json_schema", "json_object", "text", "text"]


def test_an_empty_reply_goes_one_rung_down_and_a_hiccup_does_not() -> None:
    with LLMServer(say(None), GOOD) as empty, LLMServer(body(b"\xff"), GOOD) as hiccup:
        for server in (empty, hiccup):
            endpoint(server).ask(ASK, Count)
    assert formats(empty) == ["json_schema", "json_object"]
    assert formats(hiccup) == ["json_schema", "json_schema"]


def test_parameters_that_a_server_names_are_left_out() -> None:
    step = unless(lambda r: "max_tokens" in r, GOOD, message="Use 'max_completion_tokens' instead.")
    step = unless(lambda r: "temperature" in r, step, message="Unsupported value: 'temperature'")
    with LLMServer(step) as server:
        endpoint(server).ask(ASK, Count)
    assert formats(server) == ["json_schema"] * 3
    assert server.requests[-1]["max_completion_tokens"] == 2048


# --- budget, ledger, cache ------------------------------------------------------------------------------------------


def test_the_ledger_adds_up_over_questions_retries_and_failures() -> None:
    with LLMServer(GOOD, status(500), GOOD, say("no")) as server:
        model = endpoint(server)
        used = [model.ask(ASK, Count)[1], model.ask(ASK, Count)[1]]
        assert [u.calls for u in used] == [1, 2]
        assert used[0].prompt_tokens == 11
        assert used[0].completion_tokens == 7
        with pytest.raises(LanguageModelError):
            model.ask(ASK, Count)
    assert model.ledger.calls == len(server.requests) == 6
    assert model.ledger.tokens == 18 * 5
    assert 0 < model.ledger.seconds < 3


def test_calls_are_paid_for_before_they_are_made() -> None:
    with LLMServer(say("no")) as server:
        with pytest.raises(
            BudgetError, match=r"max_calls=2 leaves 0, the next call may need 1; allow more with Limits"
        ):
            endpoint(server, Limits(max_calls=2)).ask(ASK, Count)
        assert len(server.requests) == 2


def test_tokens_are_set_aside_before_a_call() -> None:
    with LLMServer(GOOD) as server:
        with pytest.raises(BudgetError, match=r"max_tokens=2100 leaves 2100, the next call may need 2\d\d\d"):
            endpoint(server, Limits(max_tokens=2100)).ask(ASK, Count)
        assert server.requests == []


def test_a_server_that_reports_more_tokens_than_were_set_aside_is_booked_in_full() -> None:
    with LLMServer(say({"n": 3}, usage={"prompt_tokens": 90_000, "completion_tokens": 9_000})) as server:
        model = endpoint(server)
        model.ask(ASK, Count)
        with pytest.raises(BudgetError, match="max_tokens=100000 leaves 1000"):
            model.ask(ASK, Count)


def test_counts_that_cannot_be_are_not_booked() -> None:
    with LLMServer(say({"n": 3}, usage={"prompt_tokens": -1_000_000, "completion_tokens": 10**12})) as server:
        assert 0 < endpoint(server).ask(ASK, Count)[1].tokens < 2000


def test_no_call_starts_when_the_time_is_used_up() -> None:
    with LLMServer(hang) as server:
        start = time.monotonic()
        model = endpoint(server, Limits(timeout_s=30, max_seconds=0.3))
        for _ in range(2):
            with pytest.raises(BudgetError, match=r"max_seconds=0.3"):
                model.ask(ASK, Count)
        assert len(server.requests) == 1
        assert time.monotonic() - start < 10  # a call alone has 30


def test_limits_out_of_range_are_named_together() -> None:
    with pytest.raises(
        BudgetError, match=r"max_calls must be above 0, however: 0; backoff_s must be 0 or more, however: -1"
    ):
        Limits(max_calls=0, backoff_s=-1)


def test_nothing_is_kept_unless_asked_for(tmp_path: Path) -> None:
    with LLMServer(GOOD) as server:
        endpoint(server).ask(ASK, Count)
        endpoint(server).ask(ASK, Count)
    assert len(server.requests) == 2
    assert not list(tmp_path.rglob("*.sqlite"))


def test_the_same_question_is_asked_once_with_a_cache(tmp_path: Path) -> None:
    with LLMServer(GOOD) as server:
        first = endpoint(server, cache=True).ask(ASK, Count)[0]
        model = endpoint(server, cache=True)
        assert model.ask(ASK, Count) == (first, Usage(cache_hits=1))
        assert model.ledger == Usage(cache_hits=1)
        model.ask([{"role": "user", "content": "And now?"}], Count)
        endpoint(server, cache=True, temperature=0.5).ask(ASK, Count)
    assert len(server.requests) == 3
    with sqlite3.connect(tmp_path / "cache" / "llm.sqlite") as db:
        rows = db.execute("SELECT key, reply FROM replies").fetchall()
    assert {reply for _, reply in rows} == {'{"n": 3, "unit": "pieces"}'}
    assert all(len(key) == 64 for key, _ in rows)
    assert (tmp_path / "cache" / "llm.sqlite").stat().st_mode & 0o077 == 0
    assert KEY.encode() not in (tmp_path / "cache" / "llm.sqlite").read_bytes()


def test_a_cached_reply_that_does_not_fit_is_asked_for_anew(tmp_path: Path) -> None:
    file = tmp_path / "replies.sqlite"
    with LLMServer(GOOD) as server:
        endpoint(server, cache=file).ask(ASK, Count)
        with sqlite3.connect(file) as db:
            db.execute('UPDATE replies SET reply = \'{"n": "x"}\'')
        assert endpoint(server, cache=file).ask(ASK, Count)[0].n == 3
    assert len(server.requests) == 2


def test_a_broken_cache_is_warned_of_and_done_without(tmp_path: Path) -> None:
    file = tmp_path / "replies.sqlite"
    file.write_bytes(b"this is no database, and long enough to be read as one" * 50)
    with LLMServer(GOOD) as server, pytest.warns(UserWarning, match="not a database; delete it to start anew"):
        assert endpoint(server, cache=file).ask(ASK, Count)[0].n == 3
    cache = ReplyCache(tmp_path)
    with pytest.warns(UserWarning, match="is not used"):
        cache.put("key", 3)
    with warnings.catch_warnings(action="error"):
        assert cache.get("key") is None


# --- construction ---------------------------------------------------------------------------------------------------


def test_the_key_and_the_address_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with LLMServer(GOOD) as server:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
        monkeypatch.setenv("FLAME_LLM_MODEL", "from-the-environment")
        Endpoint().ask(ASK, Count)
    request = server.requests[0]
    assert request["path"] == "/v1/chat/completions"
    assert request["model"] == "from-the-environment"
    assert request["headers"]["authorization"] == f"Bearer {KEY}"


def test_a_local_server_needs_no_key_and_no_proxy_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with LLMServer(GOOD) as server:
        assert Endpoint("toy", base_url=server.url).ask(ASK, Count)[0].n == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no language model is named; give model='...' or set FLAME_LLM_MODEL"),
        ({"model": "m"}, "wants a key; set OPENAI_API_KEY"),
        ({"model": "m", "base_url": "localhost:11434"}, "must be like 'http://localhost:11434/v1'"),
        ({"model": "m", "base_url": "ftp://x/v1"}, "must be like"),
        ({"model": "m", "base_url": "http://[::1/v1"}, "not a valid address"),
        ({"model": "m", "base_url": f"http://u:{KEY}@h/v1"}, "must not hold a user name"),
        ({"model": "m", "base_url": f"http://h/v1?key={KEY}"}, "or parameters; give the key by OPENAI_API_KEY"),
        ({"model": "m", "api_key": KEY + "\nx"}, "must be printable ASCII"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LanguageModelError, match=message) as caught:
        Endpoint(**arguments)
    assert KEY not in str(caught.value)


def test_the_key_is_not_pickled() -> None:
    with LLMServer(GOOD) as server, pytest.raises(LanguageModelError, match="not pickled"):
        pickle.dumps(endpoint(server))


def test_a_missing_package_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'flame-hypernet\[llm\]'"):
        Endpoint("toy", base_url="http://localhost:1/v1")


def test_openai_is_imported_only_when_an_endpoint_is_made() -> None:
    code = "import sys, flame.llm, flame.llm.writer; assert 'openai' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# --- replay ---------------------------------------------------------------------------------------------------------


def test_a_replay_reads_a_file_and_ends_with_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "replies.json"
    file.write_text('[{"n": 1}, "two is {\\"n\\": 2}"]')
    model = Replay(file)
    assert [model.ask(ASK, Count)[0].n for _ in range(2)] == [1, 2]
    with pytest.raises(LanguageModelError, match="holds 2 replies and all of them are used"):
        model.ask(ASK, Count)
    assert model.ledger == Usage(calls=2)


@pytest.mark.parametrize(("text", "message"), [("{", "cannot read"), ('{"n": 1}', "must hold a JSON list .* a dict")])
def test_a_file_that_holds_no_replies_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "replies.json").write_text(text)
    with pytest.raises(LanguageModelError, match=message):
        Replay(tmp_path / "replies.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["n", "unit", "x"]), inner, max_size=4),
    max_leaves=10,
)
replies = st.one_of(
    st.text(max_size=80),
    st.text(alphabet='{}[]":,n3\\u ', max_size=60),
    json_values,
    json_values.map(lambda value: f"see {json.dumps(value)} and so on"),
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(replies, min_size=1, max_size=4))
def test_whatever_a_model_says_ends_in_an_object_or_our_error(said: list[Any]) -> None:
    try:
        assert Replay(said).ask(ASK, Count)[0].n >= 0
    except FlameError as error:
        assert isinstance(error, LanguageModelError)  # noqa: PT017
