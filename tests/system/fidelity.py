"""A conversation of each API with all that only it has, and its vendor's answer, in JSON that no encoder writes."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulated import Behaviour
from simulated.anthropic_rules import VERSION

FIGURES = Behaviour(input_tokens=70, output_tokens=50, cache_read_tokens=10)


@dataclass(frozen=True, slots=True)
class Talk:
    """`body`: with MODEL and STREAM for the two that differ. `whole` and `events`: the answer, both with the usage of
    FIGURES. `headers` go along; `unasked`: the event that is there only since the usage was asked for."""

    path: str
    model: str
    body: str
    whole: str
    events: tuple[str, ...]
    headers: dict[str, str] = field(default_factory=dict)
    unasked: str = ""

    def asked(self, model: str, *, stream: bool) -> str:
        return self.body.replace("MODEL", model).replace("STREAM", "true" if stream else "false")


_ODD = r'"x_of_tomorrow" : {"deep":[1E+2, -0.0,12345678901234567890,{"\u006b":[ ]}], "half":"\/\u00e9é"}'
_SCHEMA = '{"type":"object","properties":{"city":{"type":"string","x-hint":1.50}}}'
_CLAUDE = (
    r"""{ "x_first":null,"model" : "MODEL", "max_tokens":1.0e3,"stream":STREAM,
 "system":[{"type":"text","text":"Be \u0062rief","cache_control":{"type":"ephemeral"}}],
 "thinking":{"type":"enabled","budget_tokens":2e2},"metadata":{"user_id":"of\u00a0Ann"},
 "tools":[{"name":"weather","input_schema":"""
    + _SCHEMA
    + r""","cache_control":{"type":"ephemeral"},"x":1.0},
          {"type":"memory_20250818","name":"memory"}],
 "messages":[{"role":"user","content":[{"type":"text","text":"Rome, Oslo?","x_more":[1.0]}]},
  {"role":"assistant","content":[{"type":"thinking","thinking":"two\ncities","signature":"c2ln\/+=="},
   {"type":"redacted_thinking","data":"ZGF0YQ=="},{"type":"text","text":"I look."},
   {"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"Rome"}},
   {"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result",
     "url":"https://example.org","title":"t","encrypted_content":"ZW5j"}]},
   {"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"R\u006fme"}},
   {"type":"tool_use","id":"toolu_2","name":"weather","input":{ "city" : "Oslo" }}]},
  {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"30.0"},
   {"type":"tool_result","tool_use_id":"toolu_2","content":[{"type":"text","text":"3"}],"x":{}},
   {"type":"text","text":"and now?","cache_control":{"type":"ephemeral"}}]}],
 """
    + _ODD
    + " }\n"
)
_CLAUDE_USAGE = '"input_tokens":70, "cache_read_input_tokens":10,"output_tokens":%d,"x_tier":"new"'
_CLAUDE_EVENTS = (
    'event: message_start\ndata: {"type":"message_start", "message":{"id":"msg_1","type":"message","role":"assistant",'
    '"model":"claude-sonnet-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{'
    + _CLAUDE_USAGE % 1
    + "}}}\n\n",
    ": hello\n\n",
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"thinking",'
    '"thinking":"","signature":""}}\n\n',
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta",'
    '"signature":"c2ln\\/=="}}\n\n',
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    'event: of_tomorrow\nid: 7\ndata: {"type":"of_tomorrow","n":1.0e0}\n\n',
    'event: content_block_start\ndata: {"type":"content_block_start","index":1,"content_block":{"type":"text",'
    '"text":""}}\n\n',
    'event: content_block_delta\r\ndata: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta",'
    '"text":"Warm\\u0020and cold."}}\r\n\r\n',
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":1}\n\n',
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
    '"usage":{' + _CLAUDE_USAGE % 50 + "}}\n\n",
    'event: message_stop\ndata: {"type":"message_stop" }\n\n',
)
_CLAUDE_WHOLE = (
    '{ "id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-5-5", "content":[{"type":"thinking",'
    '"thinking":"hm","signature":"c2ln\\/=="},{"type":"redacted_thinking","data":"ZA=="},{"type":"text",'
    '"text":"Warm\\u0020and cold.","citations":null}],"stop_reason":"end_turn","stop_sequence":null,'
    '"context_management":{"applied_edits":[]},"usage":{' + _CLAUDE_USAGE % 50 + "} }\n"
)
_KIMI = (
    r"""{"messages" :[{"role":"system","content":"Be \u0062rief","x":1.0},
  {"role":"user","content":[{"type":"text","text":"Rome, Oslo?","x_more":[1.0]}]},
  {"role":"assistant","content":null,"reasoning_content":"two\ncities","refusal":null,"tool_calls":[
    {"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"R\u006fme\"}"},"x":{}},
    {"id":"call_2","type":"function","function":{"name":"weather","arguments":"{ }"}}]},
  {"role":"tool","tool_call_id":"call_1","content":"30.0"},{"role":"tool","tool_call_id":"call_2","content":"3"}],
 "stream" : STREAM,"max_tokens":1.0e3,"seed":7,"logit_bias":{"50256":-1E+2},"parallel_tool_calls":true,
 "tools":[{"type":"function","function":{"name":"weather","strict":false,"parameters":"""
    + _SCHEMA
    + r"""}}], "prompt_cache_key":"talk\u002d1", """
    + _ODD
    + r""",  "model":"MODEL"}"""
)
_KIMI_USAGE = (
    '"usage":{"prompt_tokens":80,"completion_tokens":50,"total_tokens":130, '
    '"prompt_tokens_details":{"cached_tokens":10}}'
)
_KIMI_HEAD = '"id":"c-1","object":"chat.completion.chunk","created":1.7e9,"model":"kimi-k2.6"'
_KIMI_UNASKED = "data: {" + _KIMI_HEAD + ', "choices" : [ ],' + _KIMI_USAGE + "}\n\n"
_KIMI_EVENTS = (
    "data: {" + _KIMI_HEAD + ',"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    "data: {" + _KIMI_HEAD + ',"choices":[{"index":0,"delta":{"reasoning_content":"h\\u006d"},"x":[1.0]}]}\n\n',
    ": keep-alive\n\n",
    "data: {" + _KIMI_HEAD + ',"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_3","type":"function",'
    '"function":{"name":"weather","arguments":"{"}},{"index":1,"id":"call_4","type":"function","function":'
    '{"name":"weather","arguments":"{}"}}]}}]}\r\n\r\n',
    "data: {" + _KIMI_HEAD + ',"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":'
    '"\\"city\\":\\"Rome\\"}"}}]}}]}\n\n',
    "data: {" + _KIMI_HEAD + ',"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls","x":null}]}\n\n',
    _KIMI_UNASKED,
    "data: [DONE]\n\n",
)
_KIMI_WHOLE = (
    '{"id":"c-1","object":"chat.completion","created":1.7e9,"model":"kimi-k2.6","x_new":[1.0],"choices":[{"index":0,'
    '"message":{"role":"assistant","content":"Warm\\u0020and cold.","reasoning_content":"hm","x":{}},"logprobs":null,'
    '"finish_reason":"stop"}],' + _KIMI_USAGE + "}  \n"
)
_GPT = (
    r"""{"input" :[{"role":"user","content":[{"type":"input_text","text":"Rome, Oslo?","x_more":[1.0]}]},
  {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"two"}],"encrypted_content":"ZW5j\/+=="},
  {"type":"function_call","id":"fc_1","call_id":"call_1","name":"weather","arguments":"{\"city\":\"R\u006fme\"}","x":1.0},
  {"type":"custom_tool_call","id":"ctc_1","call_id":"call_2","name":"patch","input":"*** Begin"},
  {"type":"function_call_output","call_id":"call_1","output":"30.0"},
  {"type":"custom_tool_call_output","call_id":"call_2","output":"d\u006fne"},
  {"type":"of_tomorrow","n":-0.0}],
 "instructions":"Be \u0062rief","store":false,"include":["reasoning.encrypted_content"],"stream":STREAM,
 "reasoning":{"effort":"low","summary":"auto"},"text":{"verbosity":"low"}, "max_output_tokens":1.0e3,
 "tools":[{"type":"function","name":"weather","strict":false,"parameters":"""
    + _SCHEMA
    + r"""},{"type":"custom","name":"patch","format":{"type":"text"}}],"prompt_cache_key":"talk\u002d1",
 "model":"MODEL", """
    + _ODD
    + "}"
)
_GPT_USAGE = (
    '"usage":{"input_tokens":80,"input_tokens_details":{"cached_tokens":10,"x":1.0},"output_tokens":50,'
    '"output_tokens_details":{"reasoning_tokens":0},"total_tokens":130}'
)
_GPT_OUTPUT = (
    '"output":[{"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":"ZW5j\\/=="},{"type":"message",'
    '"id":"msg_2","role":"assistant","status":"completed","content":[{"type":"output_text","text":'
    '"Warm\\u0020and cold.","annotations":[],"logprobs":[]}],"x_new":1.0}]'
)
_GPT_HEAD = '"id":"resp_2", "object":"response","created_at":1.7e9,"model":"gpt-5.4","x_new":{}'
_GPT_WHOLE = "{" + _GPT_HEAD + ',"status":"completed","error":null,' + _GPT_OUTPUT + "," + _GPT_USAGE + "}\n"


def _gpt_event(kind: str, number: int, rest: str) -> str:
    return f'event: {kind}\ndata: {{"type":"{kind}", "sequence_number":{number}, {rest}}}\n\n'


_GPT_EVENTS = (
    _gpt_event("response.created", 0, '"response":{' + _GPT_HEAD + ',"status":"in_progress","output":[],"usage":null}'),
    _gpt_event(
        "response.output_item.added",
        1,
        '"output_index":0,"item":{"type":"message","id":"msg_2","role":"assistant","content":[]}',
    ),
    ": wait\n\n",
    _gpt_event("response.of_tomorrow", 2, '"n":1.0e2'),
    _gpt_event(
        "response.output_text.delta",
        3,
        '"output_index":0,"item_id":"msg_2","content_index":0,"delta":"Warm\\u0020and cold.","obfuscation":"x"',
    ).replace("\n", "\r\n"),
    _gpt_event(
        "response.output_text.done",
        4,
        '"output_index":0,"item_id":"msg_2","content_index":0,"text":"Warm\\u0020and cold."',
    ),
    _gpt_event(
        "response.output_item.done",
        5,
        '"output_index":0,"item":{"type":"message","id":"msg_2","role":"assistant","status":"completed","content":['
        '{"type":"output_text","text":"Warm\\u0020and cold.","annotations":[]}]}',
    ),
    _gpt_event(
        "response.completed",
        6,
        '"response":{' + _GPT_HEAD + ',"status":"completed","error":null,' + _GPT_OUTPUT + "," + _GPT_USAGE + "}",
    ),
)

TALKS = {
    "anthropic": Talk(
        "/v1/messages",
        "claude-sonnet-5-5",
        _CLAUDE,
        _CLAUDE_WHOLE,
        _CLAUDE_EVENTS,
        {"anthropic-beta": "of-tomorrow-2027-01-01,interleaved-thinking-2025-05-14", "anthropic-version": VERSION},
    ),
    "openai": Talk(
        "/v1/chat/completions", "kimi-k2.6", _KIMI, _KIMI_WHOLE, _KIMI_EVENTS, {"openai-beta": "x=1"}, _KIMI_UNASKED
    ),
    "responses": Talk("/v1/responses", "gpt-5.4", _GPT, _GPT_WHOLE, _GPT_EVENTS, {"openai-beta": "responses=x"}),
}
