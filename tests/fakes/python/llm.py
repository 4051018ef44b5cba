"""The vendors' own clients for language models against the stand-ins: `llm.py BASE CLIENT`.

Prints a line for each check that holds and ends at the first that does not. Retries are switched off, so that each
error is the one the client raises itself.
"""

import json
import sys
import urllib.request

BASE, CLIENT = sys.argv[1:]
LINE = "नमस्ते, a table for four at eight — done."
QUESTION = "A table for four, please."
TOOLS = [
    {"when": "table", "name": "find_table", "arguments": {"guests": 4, "name": "अमृता"}, "say": "One moment."},
    {"when": "table", "name": "get_time", "arguments": {}},
]
SCHEMA = {"type": "object", "properties": {"guests": {"type": "integer"}, "name": {"type": "string"}}}


def plan(service, **wanted):
    body = json.dumps({"service": service, "lines": [LINE], "interval_ms": 2, **wanted}).encode()
    request = urllib.request.Request(f"{BASE}/control/plan", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200, answer.status


def raised(kinds, what, **attributes):
    """The error that `what` raises, which must be of just this class (and not one it inherits from)."""
    try:
        what()
    except Exception as error:
        assert type(error) in kinds, f"{type(error).__mro__}: {error}"
        for name, value in attributes.items():
            assert getattr(error, name) == value, (name, getattr(error, name))
        return error
    raise AssertionError(f"nothing was raised, {kinds} was expected")


def of_both(calls):
    assert [(name, arguments) for name, arguments in calls] == [
        (tool["name"], tool["arguments"]) for tool in TOOLS
    ], calls


class OpenaiChat:
    service = "openai_chat"

    def __init__(self):
        import openai

        self.vendor = openai
        self.messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
        self.tools = [
            {"type": "function", "function": {"name": tool["name"], "parameters": SCHEMA}} for tool in TOOLS
        ]

    def client(self, key="a-key"):
        return self.vendor.OpenAI(base_url=f"{BASE}/openai/v1", api_key=key, max_retries=0, timeout=30)

    def ask(self, client, messages, words=None, tools=None):
        stream = client.chat.completions.create(
            model="m",
            messages=messages,
            tools=tools or self.vendor.omit,
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in stream:
            for choice in chunk.choices:
                if choice.delta.content:
                    (words if words is not None else []).append(choice.delta.content)
        return chunk

    def stream(self):
        words = []
        last = self.ask(self.client(), self.messages, words)
        assert last.usage.completion_tokens == len(words), last
        with self.client().chat.completions.stream(model="m", messages=self.messages) as stream:
            assert stream.get_final_completion().choices[0].message.content == LINE
        whole = self.client().chat.completions.create(model="m", messages=self.messages)
        assert whole.choices[0].message.content == LINE
        assert [model.id for model in self.client().models.list()]
        return words

    def tool_call(self):
        client = self.client()
        # The client's own accumulation of the fragments.
        with client.chat.completions.stream(model="m", messages=self.messages, tools=self.tools) as stream:
            made = stream.get_final_completion().choices[0]
        assert made.finish_reason == "tool_calls" and made.message.content == "One moment."
        of_both((call.function.name, json.loads(call.function.arguments)) for call in made.message.tool_calls)
        assistant = made.message.model_dump(include={"role", "content", "tool_calls"})
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": "found"} for call in made.message.tool_calls
        ]
        words = []
        self.ask(client, [*self.messages, assistant, *results], words, self.tools)
        left_out = [*self.messages, assistant, results[0]]
        raised([self.vendor.BadRequestError], lambda: self.ask(client, left_out), status_code=400)
        return words

    def wrong_key(self):
        ask = lambda: self.ask(self.client("wrong"), self.messages)
        raised([self.vendor.AuthenticationError], ask, status_code=401, code="invalid_api_key")

    def refused(self):
        return self.ask(self.client(), self.messages)

    def limited(self):
        error = raised([self.vendor.RateLimitError], self.refused, status_code=429, code="rate_limit_exceeded")
        assert error.response.headers["retry-after"] == "7" and error.request_id
        plan(self.service, fault={"fault": "quota"})
        raised([self.vendor.RateLimitError], self.refused, status_code=429, code="insufficient_quota")

    def server_error(self):
        raised([self.vendor.InternalServerError], self.refused, status_code=500)
        plan(self.service, fault={"fault": "error_inside", "after": 2})
        raised([self.vendor.APIError], self.refused)

    def drop(self):
        words = []
        raised([self.vendor.APIConnectionError], lambda: self.ask(self.client(), self.messages, words))
        return words


class OpenaiResponses(OpenaiChat):
    service = "openai_responses"

    def __init__(self):
        super().__init__()
        self.tools = [{"type": "function", "name": tool["name"], "parameters": SCHEMA} for tool in TOOLS]

    def ask(self, client, messages, words=None, tools=None):
        stream = client.responses.create(model="m", input=messages, tools=tools or self.vendor.omit, stream=True)
        last = None
        for event in stream:
            last = event
            if event.type == "response.output_text.delta":
                (words if words is not None else []).append(event.delta)
        return last

    def stream(self):
        words = []
        last = self.ask(self.client(), self.messages, words)
        assert last.type == "response.completed" and last.response.output_text == LINE
        assert last.response.usage.output_tokens == len(words)
        with self.client().responses.stream(model="m", input=self.messages) as stream:
            assert stream.get_final_response().output_text == LINE
        whole = self.client().responses.create(model="m", input=QUESTION, instructions="Be brief.")
        assert whole.output_text == LINE
        return words

    def tool_call(self):
        client = self.client()
        with client.responses.stream(model="m", input=self.messages, tools=self.tools) as stream:
            made = stream.get_final_response()
        assert made.output_text == "One moment."
        calls = [item for item in made.output if item.type == "function_call"]
        of_both((call.name, json.loads(call.arguments)) for call in calls)
        items = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in made.output]
        results = [{"type": "function_call_output", "call_id": call.call_id, "output": "found"} for call in calls]
        words = []
        self.ask(client, [*self.messages, *items, *results], words, self.tools)
        left_out = [*self.messages, *items, results[0]]
        raised([self.vendor.BadRequestError], lambda: self.ask(client, left_out), status_code=400)
        return words

    def server_error(self):
        raised([self.vendor.InternalServerError], self.refused, status_code=500)
        # This client hands the error on as an event.
        plan(self.service, fault={"fault": "error_inside", "after": 2})
        assert self.refused().type == "error"


class Anthropic:
    service = "anthropic_messages"

    def __init__(self):
        import anthropic
        import httpx2

        self.vendor, self.broken = anthropic, httpx2.RemoteProtocolError
        self.messages = [{"role": "user", "content": QUESTION}]
        self.tools = [{"name": tool["name"], "input_schema": SCHEMA} for tool in TOOLS]

    def client(self, key="a-key"):
        return self.vendor.Anthropic(base_url=f"{BASE}/anthropic", api_key=key, max_retries=0, timeout=30)

    def ask(self, client, messages, words=None, tools=None):
        wanted = {"model": "m", "max_tokens": 400, "system": "Be brief.", "messages": messages}
        with client.messages.stream(**wanted, tools=tools or self.vendor.omit) as stream:
            for text in stream.text_stream:
                (words if words is not None else []).append(text)
            return stream.get_final_message()

    def stream(self):
        words = []
        last = self.ask(self.client(), self.messages, words)
        assert last.stop_reason == "end_turn" and last.content[0].text == LINE
        assert last.usage.output_tokens == len(words)
        whole = self.client().messages.create(model="m", max_tokens=400, messages=self.messages)
        assert whole.content[0].text == LINE
        return words

    def tool_call(self):
        client = self.client()
        made = self.ask(client, self.messages, tools=self.tools)
        assert made.stop_reason == "tool_use" and made.content[0].text == "One moment."
        calls = [block for block in made.content if block.type == "tool_use"]
        of_both((call.name, call.input) for call in calls)
        assistant = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in made.content]}
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "found"} for call in calls]
        words = []
        messages = [*self.messages, assistant, {"role": "user", "content": results}]
        self.ask(client, messages, words, self.tools)
        left_out = [*self.messages, assistant, {"role": "user", "content": results[:1]}]
        raised([self.vendor.BadRequestError], lambda: self.ask(client, left_out), status_code=400)
        return words

    def wrong_key(self):
        ask = lambda: self.ask(self.client("wrong"), self.messages)
        raised([self.vendor.AuthenticationError], ask, status_code=401, type="authentication_error")

    def refused(self):
        return self.ask(self.client(), self.messages)

    def limited(self):
        error = raised([self.vendor.RateLimitError], self.refused, status_code=429, type="rate_limit_error")
        assert error.response.headers["retry-after"] == "7" and error.request_id
        plan(self.service, fault={"fault": "quota"})
        raised([self.vendor.PaymentRequiredError], self.refused, status_code=402, type="billing_error")

    def server_error(self):
        raised([self.vendor.InternalServerError], self.refused, status_code=500, type="api_error")
        plan(self.service, fault={"fault": "error_inside", "after": 2})
        raised([self.vendor.APIStatusError], self.refused, status_code=200, type="overloaded_error")

    def drop(self):
        words = []
        raised([self.broken], lambda: self.ask(self.client(), self.messages, words))
        return words


class GoogleGenai:
    service = "gemini_stream"

    def __init__(self):
        import httpx2
        from google import genai
        from google.genai import errors, types

        self.genai, self.errors, self.types, self.broken = genai, errors, types, httpx2.RemoteProtocolError
        self.messages = [types.Content(role="user", parts=[types.Part(text=QUESTION)])]
        declared = [
            types.FunctionDeclaration(name=tool["name"], parameters_json_schema=SCHEMA) for tool in TOOLS
        ]
        self.tools = [types.Tool(function_declarations=declared)]

    def client(self, key="a-key"):
        # Without options for retries this client makes none.
        options = self.types.HttpOptions(base_url=f"{BASE}/gemini", timeout=30_000)
        return self.genai.Client(api_key=key, http_options=options)

    def config(self, tools=None):
        return self.types.GenerateContentConfig(system_instruction="Be brief.", tools=tools)

    def ask(self, client, contents, words=None, tools=None):
        wanted = {"model": "m", "contents": contents, "config": self.config(tools)}
        parts, last = [], None
        for last in client.models.generate_content_stream(**wanted):
            for candidate in last.candidates or []:
                for part in candidate.content.parts or []:
                    parts.append(part)
                    if part.text:
                        (words if words is not None else []).append(part.text)
        return parts, last

    def stream(self):
        words = []
        _, last = self.ask(self.client(), self.messages, words)
        assert last.candidates[0].finish_reason == self.types.FinishReason.STOP
        assert last.usage_metadata.candidates_token_count == len(words)
        # A client that nothing refers to closes itself.
        client = self.client()
        whole = client.models.generate_content(model="m", contents=QUESTION, config=self.config())
        assert whole.text == LINE
        return words

    def tool_call(self):
        client, types = self.client(), self.types
        parts, _ = self.ask(client, self.messages, tools=self.tools)
        calls = [part for part in parts if part.function_call]
        of_both((part.function_call.name, part.function_call.args) for part in calls)
        assert calls[0].thought_signature and not calls[1].thought_signature
        results = [
            types.Part(function_response=types.FunctionResponse(
                id=part.function_call.id, name=part.function_call.name, response={"output": "found"}))
            for part in calls
        ]
        contents = lambda made, answers: [
            *self.messages, types.Content(role="model", parts=made), types.Content(role="user", parts=answers)
        ]
        words = []
        self.ask(client, contents(calls, results), words, self.tools)
        error = self.errors.ClientError
        left_out = lambda: self.ask(client, contents(calls, results[:1]))
        raised([error], left_out, code=400, status="INVALID_ARGUMENT")
        unsigned = [types.Part(function_call=part.function_call) for part in calls]
        raised([error], lambda: self.ask(client, contents(unsigned, results)), code=400, status="INVALID_ARGUMENT")
        return words

    def wrong_key(self):
        ask = lambda: self.ask(self.client("wrong"), self.messages)
        error = raised([self.errors.ClientError], ask, code=400, status="INVALID_ARGUMENT")
        assert error.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"

    def refused(self):
        return self.ask(self.client(), self.messages)

    def limited(self):
        error = raised([self.errors.ClientError], self.refused, code=429, status="RESOURCE_EXHAUSTED")
        assert error.details["error"]["details"][0]["retryDelay"] == "7s"
        plan(self.service, fault={"fault": "quota"})
        raised([self.errors.ClientError], self.refused, code=429, status="RESOURCE_EXHAUSTED")

    def server_error(self):
        raised([self.errors.ServerError], self.refused, code=500, status="INTERNAL")
        plan(self.service, fault={"fault": "error_inside", "after": 2})
        raised([self.errors.ServerError], self.refused, code=503, status="UNAVAILABLE")
        plan(self.service, fault={"fault": "malformed", "after": 2})
        raised([self.errors.UnknownApiResponseError], self.refused)

    def drop(self):
        words = []
        raised([self.broken], lambda: self.ask(self.client(), self.messages, words))
        return words


def main():
    clients = {
        "openai_chat": OpenaiChat, "openai_responses": OpenaiResponses, "anthropic": Anthropic,
        "google_genai": GoogleGenai,
    }
    client = clients[CLIENT]()
    service = client.service
    for fault in [None, {"fault": "fragment"}, {"fault": "unknown_type", "after": 2}]:
        plan(service, fault=fault)
        words = client.stream()
        assert "".join(words) == LINE and len(words) > 5, words
    print("completes a stream")

    plan(service, tools=TOOLS)
    assert "".join(client.tool_call()) == LINE
    print("completes a tool call")

    plan(service)
    client.wrong_key()
    print("is told a wrong key")

    plan(service, fault={"fault": "rate_limited", "retry_after_s": 7})
    client.limited()
    print("is told too many requests")

    plan(service, fault={"fault": "server_error"})
    client.server_error()
    print("is told a server error")

    plan(service, fault={"fault": "drop", "after": 3})
    words = client.drop()
    assert len(words) == 3 and LINE.startswith("".join(words)), words
    print("is told a drop in mid-stream")


main()
