"""The vendors' own clients speak with the stand-ins: `tts.py VENDOR HOST:PORT FOLDER`.

Sound goes to files in FOLDER, what happened to standard output as one JSON object: for each scenario what came, or the
class of what was raised and its status. Nothing is judged here.
"""

import base64
import json
import pathlib
import sys
import urllib.request

VENDOR, ADDRESS, FOLDER = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
TEXT = "word1 word22, word333 and Grüße."
RATE_LIMITED = {"fault": "rate_limited", "retry_after_s": 7}
outcome = {}


def plan(service, fault):
    """The next connection of the service fails so."""
    body = json.dumps({"service": service, "fault": fault, "times": 1}).encode()
    headers = {"content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"http://{ADDRESS}/control/plan", body, headers), timeout=10)


def scenario(name, service=None, fault=None):
    """Runs the function at once; sound it returns goes to a file."""

    def run(function):
        if fault:
            plan(service, fault)
        try:
            came = function()
        except Exception as error:
            kind = type(error)
            told = getattr(error, "response", None)
            status = getattr(error, "status_code", getattr(told, "status_code", None))
            outcome[name] = {"raised": f"{kind.__module__.split('.')[0]}.{kind.__name__}", "status": status}
            return
        if isinstance(came, bytes):
            (FOLDER / name).write_bytes(came)
            came = {"bytes": len(came)}
        outcome[name] = came

    return run


def deepgram():
    from deepgram import DeepgramClient
    from deepgram.core.events import EventType
    from deepgram.environment import DeepgramClientEnvironment
    from deepgram.speak.v1.types import SpeakV1Text

    http, ws = f"http://{ADDRESS}/deepgram", f"ws://{ADDRESS}/deepgram"
    environment = DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)
    options = {"max_retries": 0}

    def client(key="good"):
        return DeepgramClient(api_key=key, environment=environment)

    def rest(key="good"):
        return b"".join(
            client(key).speak.v1.audio.generate(
                text=TEXT, model="aura-2-thalia-en", encoding="linear16", sample_rate=24000, container="none",
                request_options=options,
            )
        )

    def socket(key="good"):
        sound, types = b"", []
        with client(key).speak.v1.connect(model="aura-2-thalia-en", encoding="mulaw", sample_rate=8000) as connection:
            connection.send_text(SpeakV1Text(type="Speak", text=TEXT + " "))
            connection.send_flush()
            for message in connection:
                if isinstance(message, bytes):
                    sound += message
                    continue
                types.append(type(message).__name__)
                if message.type == "Flushed":
                    connection.send_close()
        outcome["socket_messages"] = types
        return sound

    def listener():
        """The client's own loop tells errors as events."""
        errors = []
        with client().speak.v1.connect(model="aura-2-thalia-en", encoding="mulaw", sample_rate=8000) as connection:
            connection.on(EventType.ERROR, errors.append)
            connection.send_text(SpeakV1Text(type="Speak", text=TEXT + " "))
            connection.send_flush()
            connection.start_listening()
        raise errors[0]

    drop = {"fault": "drop", "after": 3}
    scenario("rest.pcm24000")(rest)
    scenario("socket.ulaw8000")(socket)
    scenario("rest_wrong_key")(lambda: rest("bad"))
    scenario("rest_rate_limited", "deepgram_speak", RATE_LIMITED)(rest)
    scenario("rest_dropped", "deepgram_speak", drop)(rest)
    scenario("socket_wrong_key")(lambda: socket("bad"))
    scenario("socket_rate_limited", "deepgram_speak", RATE_LIMITED)(socket)
    scenario("socket_dropped", "deepgram_speak", drop)(listener)


def openai():
    import openai

    def client(key="good"):
        return openai.OpenAI(api_key=key, base_url=f"http://{ADDRESS}/openai/v1", max_retries=0)

    def speech(key="good", **more):
        asked = dict(model="gpt-4o-mini-tts", voice="coral", input=TEXT, response_format="pcm", **more)
        with client(key).audio.speech.with_streaming_response.create(**asked) as response:
            return b"".join(response.iter_bytes(1024))

    def events():
        sound = b""
        for line in speech(stream_format="sse").decode().splitlines():
            if line.startswith("data: "):
                event = json.loads(line[6:])
                if event["type"] == "speech.audio.delta":
                    sound += base64.b64decode(event["audio"])
        return sound

    def whole():
        return client().audio.speech.create(
            model="gpt-4o-mini-tts", voice="coral", input=TEXT, response_format="pcm"
        ).content

    drop = {"fault": "drop", "after": 3}
    scenario("speech.pcm24000")(speech)
    scenario("events.pcm24000")(events)
    scenario("wrong_key")(lambda: speech("bad"))
    scenario("rate_limited", "openai_speech", RATE_LIMITED)(speech)
    scenario("out_of_quota", "openai_speech", {"fault": "quota"})(speech)
    scenario("dropped", "openai_speech", drop)(whole)
    scenario("dropped_while_streamed", "openai_speech", drop)(speech)


def elevenlabs():
    from elevenlabs.client import ElevenLabs
    from elevenlabs.types import AudioOutputMulti, FinalOutputMulti
    from elevenlabs.types import CloseContext, InitializeConnectionMulti, SendTextMulti
    from elevenlabs.core.unchecked_base_model import construct_type
    from websockets.sync.client import connect

    voice, options = "21m00Tcm4TlvDq8ikWAM", {"max_retries": 0}

    def client(key="good"):
        made = ElevenLabs(api_key=key, base_url=f"http://{ADDRESS}/elevenlabs")
        # It makes `wss` of any base URL, and there is no TLS here.
        made.text_to_speech._ws_base_url = f"ws://{ADDRESS}/elevenlabs"
        return made

    def stream(key="good"):
        made = client(key).text_to_speech.stream(
            voice, text=TEXT, model_id="eleven_flash_v2_5", output_format="pcm_16000", request_options=options
        )
        return b"".join(made)

    def timestamps():
        sound, characters, ends = b"", [], []
        for chunk in client().text_to_speech.stream_with_timestamps(
            voice, text=TEXT, model_id="eleven_flash_v2_5", output_format="ulaw_8000", request_options=options
        ):
            sound += base64.b64decode(chunk.audio_base_64)
            characters += chunk.alignment.characters
            ends += chunk.alignment.character_end_times_seconds
        outcome["timestamps"] = {"text": "".join(characters), "ends": ends}
        return sound

    def realtime(key="good"):
        text = iter(["word1 ", "word22, ", "word333 and ", "Grüße."])
        return b"".join(
            client(key).text_to_speech.convert_realtime(
                voice, text=text, model_id="eleven_flash_v2_5", output_format="ulaw_8000"
            )
        )

    def multi():
        """The client has no socket with contexts, but the messages of one."""
        sound, text = b"", ""
        path = f"ws://{ADDRESS}/elevenlabs/v1/text-to-speech/{voice}/multi-stream-input?output_format=pcm_16000"
        with connect(path, additional_headers={"xi-api-key": "good"}) as socket:
            for message in [
                InitializeConnectionMulti(text=" ", context_id="turn-1"),
                SendTextMulti(text=TEXT + " ", context_id="turn-1", flush=True),
                CloseContext(context_id="turn-1", close_context=True),
            ]:
                socket.send(json.dumps(message.dict(exclude_none=True)))
            for raw in socket:
                raw = json.loads(raw)
                if raw.get("isFinal"):
                    final = construct_type(type_=FinalOutputMulti, object_=raw)
                    outcome["multi"] = {"final": final.is_final, "context": final.context_id, "text": text}
                    return sound
                chunk = construct_type(type_=AudioOutputMulti, object_=raw)
                sound += base64.b64decode(chunk.audio)
                text += "".join(chunk.alignment.chars)

    drop = {"fault": "drop", "after": 2}
    scenario("stream.pcm16000")(stream)
    scenario("timestamps.ulaw8000")(timestamps)
    scenario("realtime.ulaw8000")(realtime)
    scenario("multi.pcm16000")(multi)
    scenario("voices")(lambda: [voice.name for voice in client().voices.get_all().voices])
    scenario("voices_searched")(lambda: [voice.name for voice in client().voices.search(search="rach").voices])
    scenario("wrong_key")(lambda: stream("bad"))
    scenario("unusual_activity", "elevenlabs_http", {"fault": "unusual_activity"})(stream)
    scenario("out_of_quota", "elevenlabs_http", {"fault": "quota"})(stream)
    scenario("rate_limited", "elevenlabs_http", RATE_LIMITED)(stream)
    scenario("dropped", "elevenlabs_http", drop)(stream)
    scenario("realtime_wrong_key")(lambda: realtime("bad"))
    scenario("realtime_rate_limited", "elevenlabs_multi", RATE_LIMITED)(realtime)
    scenario("realtime_dropped", "elevenlabs_multi", drop)(realtime)


def cartesia():
    from cartesia import Cartesia

    voice = {"id": "f786b574-daa5-4673-aa0c-cbe3e8534c02"}

    def client(key="good"):
        base = f"{ADDRESS}/cartesia"
        return Cartesia(api_key=key, base_url=f"http://{base}", websocket_base_url=f"ws://{base}", max_retries=0)

    def request(key="good"):
        output = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
        made = client(key).tts.generate(model_id="sonic-3", transcript=TEXT, voice=voice, output_format=output)
        return b"".join(made.iter_bytes())

    def socket(key="good"):
        sound, words, starts = b"", [], []
        output = {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000}
        with client(key).tts.websocket_connect() as connection:
            context = connection.context(
                model_id="sonic-3", voice=voice, output_format=output, add_timestamps=True, max_buffer_delay_ms=0
            )
            context.push("word1 word22, ")
            context.push("word333 and Grüße.")
            context.no_more_inputs()
            for event in context.receive():
                if event.type == "chunk":
                    sound += event.audio
                elif event.type == "timestamps":
                    words += event.word_timestamps.words
                    starts += event.word_timestamps.start
                elif event.type == "error":
                    raise RuntimeError(event.error)
        outcome["socket_times"] = {"words": words, "starts": starts}
        return sound

    drop = {"fault": "drop", "after": 3}
    scenario("request.pcm16000")(request)
    scenario("socket.ulaw8000")(socket)
    scenario("voices")(lambda: [voice.name for voice in client().voices.list(limit=2)])
    scenario("wrong_key")(lambda: request("bad"))
    scenario("out_of_quota", "cartesia_tts", {"fault": "quota"})(request)
    scenario("rate_limited", "cartesia_tts", RATE_LIMITED)(request)
    scenario("dropped", "cartesia_tts", drop)(request)
    scenario("socket_wrong_key")(lambda: socket("bad"))
    scenario("socket_rate_limited", "cartesia_tts", RATE_LIMITED)(socket)
    scenario("socket_dropped", "cartesia_tts", drop)(socket)


{"deepgram": deepgram, "openai": openai, "elevenlabs": elevenlabs, "cartesia": cartesia}[VENDOR]()
print(json.dumps(outcome))
