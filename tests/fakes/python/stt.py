"""The vendors' own clients against the transcribers' stand-ins: `stt.py http://HOST:PORT CASE...`.

Audio comes as 16-bit samples at 16 kHz in the file $PARLANCE_AUDIO, and $PARLANCE_WORDS is what it says. A case prints
nothing and ends, or raises: the class of each error is asserted here, as a client that raises another one than its
users catch is of no use to them.
"""

import asyncio
import base64
import io
import json
import os
import sys
import urllib.request
import wave

BASE = sys.argv[1]
AUDIO = open(os.environ["PARLANCE_AUDIO"], "rb").read()
WORDS = os.environ["PARLANCE_WORDS"]
KEY = "a-good-key"
FRAME = 640


def plan(service, **what):
    body = json.dumps({"service": service, **what}).encode()
    request = urllib.request.Request(
        f"{BASE}/control/plan", body, {"content-type": "application/json"}
    )
    urllib.request.urlopen(request).read()


def failing(service, fault, **more):
    plan(service, words=PLANNED, fault={"fault": fault, **more})


PLANNED = ["alpha", "नमस्ते", "charlie", "दुनिया", "echo"]


def raises(kind, work, check=lambda error: True):
    try:
        work()
    except kind as error:
        assert type(error) is kind, f"{type(error)} is only a kind of {kind}"
        assert check(error), repr(error)
    else:
        raise AssertionError(f"{kind.__name__} was not raised")


def heard(texts):
    text = " ".join(" ".join(texts).split())
    assert text == WORDS, f"heard {text!r}, said {WORDS!r}"


def frames():
    for start in range(0, len(AUDIO), FRAME):
        yield AUDIO[start : start + FRAME]


def upgrade_errors(service, stream):
    """For clients that leave a refused upgrade as their WebSocket library tells it.

    Deepgram's means to turn it into an `ApiError`, but catches `InvalidStatusCode` where that can be imported
    (deepgram/core/websocket_compat.py), which connections of today's `websockets` never raise.
    """
    from websockets.exceptions import ConnectionClosedError, InvalidStatus

    plan(service, words=PLANNED)
    stream()
    raises(InvalidStatus, lambda: stream("a-bad-key"), lambda error: error.response.status_code == 401)
    failing(service, "rate_limited", retry_after_s=7)
    raises(InvalidStatus, stream, lambda error: error.response.status_code == 429)
    failing(service, "drop", after=1)
    raises(ConnectionClosedError, stream)


# --- Deepgram


def deepgram(key=KEY):
    from deepgram import DeepgramClient
    from deepgram.environment import DeepgramClientEnvironment

    ws = BASE.replace("http", "ws") + "/deepgram"
    there = DeepgramClientEnvironment(
        base=f"{BASE}/deepgram", production=ws, agent=ws, agent_rest=f"{BASE}/deepgram"
    )
    return DeepgramClient(api_key=key, environment=there)


def listen(key=KEY):
    finals, metadata = [], []
    connect = deepgram(key).listen.v1.connect(
        model="nova-3", encoding="linear16", sample_rate=16000, interim_results=True
    )
    with connect as socket:
        for frame in frames():
            socket.send_media(frame)
        socket.send_finalize()
        socket.send_close_stream()
        for message in socket:
            if message.type == "Results" and message.is_final:
                finals.append(message.channel.alternatives[0].transcript)
            if message.type == "Metadata":
                metadata.append(message.duration)
    assert metadata and abs(metadata[0] - len(AUDIO) / 32000) < 0.1, metadata
    heard(finals)


def flux(key=KEY):
    from deepgram.listen.v2.types import ListenV2CloseStream

    turns, eager = [], []
    connect = deepgram(key).listen.v2.connect(
        model="flux-general-en",
        encoding="linear16",
        sample_rate=16000,
        eager_eot_threshold=0.4,
    )
    with connect as socket:
        for frame in frames():
            socket.send_media(frame)
        for message in socket:
            if message.type != "TurnInfo":
                continue
            if message.event == "EagerEndOfTurn":
                eager.append(message.transcript)
            if message.event == "EndOfTurn":
                assert message.trigger == "model" and eager[-1] == message.transcript
                turns.append(message.transcript)
                socket.send_close_stream(ListenV2CloseStream(type="CloseStream"))
    heard(turns)


def deepgram_listen():
    upgrade_errors("deepgram_listen", listen)


def deepgram_flux():
    upgrade_errors("deepgram_flux", flux)


# --- OpenAI


def openai(key=KEY):
    from openai import OpenAI

    return OpenAI(api_key=key, base_url=f"{BASE}/openai/v1", max_retries=0, timeout=20)


def wav():
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(AUDIO)
    return ("speech.wav", file.getvalue())


def buffered(key=KEY):
    reply = openai(key).audio.transcriptions.create(file=wav(), model="whisper-1", language="hi")
    assert reply.usage.type == "duration"
    heard([reply.text])


def streamed(key=KEY):
    deltas, done = [], []
    events = openai(key).audio.transcriptions.create(
        file=wav(), model="gpt-4o-transcribe", stream=True
    )
    for event in events:
        if event.type == "transcript.text.delta":
            deltas.append(event.delta)
        if event.type == "transcript.text.done":
            done.append(event.text)
    assert "".join(deltas) == done[0]
    heard(done)


def openai_transcribe():
    from openai import APIConnectionError, AuthenticationError, InternalServerError, RateLimitError

    service = "openai_transcribe"
    for stream in (buffered, streamed):
        plan(service, words=PLANNED)
        stream()
        raises(AuthenticationError, lambda: stream("a-bad-key"), lambda error: error.code == "invalid_api_key")
        failing(service, "rate_limited", retry_after_s=7)
        raises(RateLimitError, stream, lambda error: error.response.headers["retry-after"] == "7")
        failing(service, "quota")
        raises(RateLimitError, stream, lambda error: error.code == "insufficient_quota")
        failing(service, "server_error")
        raises(InternalServerError, stream)
        failing(service, "drop", after=1)
        raises(APIConnectionError, stream)


def realtime(key=KEY):
    finals, deltas = [], []
    with openai(key).realtime.connect(extra_query={"intent": "transcription"}) as socket:
        socket.session.update(
            session={
                "type": "transcription",
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcmu"},
                        "transcription": {"model": "gpt-4o-transcribe", "language": "hi"},
                        "turn_detection": None,
                    }
                },
            }
        )
        for start in range(0, len(MU_LAW), 160):
            socket.input_audio_buffer.append(audio=base64.b64encode(MU_LAW[start : start + 160]).decode())
        socket.input_audio_buffer.commit()
        for event in socket:
            assert event.type != "error", event
            if event.type == "session.updated":
                assert event.session.audio.input.format.type == "audio/pcmu"
            if event.type == "conversation.item.input_audio_transcription.delta":
                deltas.append(event.delta)
            if event.type == "conversation.item.input_audio_transcription.completed":
                finals.append(event.transcript)
                break
    assert "".join(deltas) == finals[0]
    heard(finals)


MU_LAW = open(os.environ["PARLANCE_MU_LAW"], "rb").read()


def openai_realtime():
    upgrade_errors("openai_realtime", realtime)


# --- ElevenLabs


async def scribe_session(key):
    from elevenlabs.client import ElevenLabs
    from elevenlabs.realtime.connection import RealtimeEvents
    from elevenlabs.realtime.scribe import AudioFormat, CommitStrategy

    client = ElevenLabs(api_key=key, base_url=f"{BASE}/elevenlabs")
    connection = await client.speech_to_text.realtime.connect(
        {
            "model_id": "scribe_v2_realtime",
            "audio_format": AudioFormat.PCM_16000,
            "sample_rate": 16000,
            "commit_strategy": CommitStrategy.MANUAL,
            "include_timestamps": True,
        }
    )
    plain, timed, errors = [], [], []
    over = asyncio.Event()
    connection.on(RealtimeEvents.COMMITTED_TRANSCRIPT, lambda data: plain.append(data["text"]))

    def with_timestamps(data):
        timed.extend(word["text"] for word in data["words"] if word["type"] == "word")
        over.set()

    def failed(data):
        errors.append(data)
        over.set()

    connection.on(RealtimeEvents.COMMITTED_TRANSCRIPT_WITH_TIMESTAMPS, with_timestamps)
    connection.on(RealtimeEvents.ERROR, failed)
    connection.on(RealtimeEvents.CLOSE, lambda: over.set())
    try:
        for frame in frames():
            await connection.send({"audio_base_64": base64.b64encode(frame).decode()})
        await connection.commit()
        await asyncio.wait_for(over.wait(), 20)
    finally:
        await connection.close()
    return plain, timed, errors


def scribe(key=KEY):
    plain, timed, errors = asyncio.run(scribe_session(key))
    assert not errors, errors
    assert plain == [" ".join(timed)]
    heard(plain)


def elevenlabs_scribe():
    from websockets.exceptions import ConnectionClosedError, InvalidStatus

    service = "elevenlabs_scribe"
    plan(service, words=PLANNED)
    scribe()
    raises(InvalidStatus, lambda: scribe("a-bad-key"), lambda error: error.response.status_code == 401)
    failing(service, "rate_limited", retry_after_s=7)
    raises(InvalidStatus, scribe, lambda error: error.response.status_code == 429)
    # A drop is told as this client tells it: an event `error` to who reads, an exception to who sends.
    failing(service, "drop", after=1)
    try:
        plain, timed, errors = asyncio.run(scribe_session(KEY))
    except ConnectionClosedError:
        return
    assert errors and "no close frame received" in errors[0]["error"] and not timed, (errors, timed)


# --- Cartesia


def ink(key=KEY):
    from cartesia import Cartesia

    client = Cartesia(api_key=key, base_url=f"{BASE}/cartesia", max_retries=0)
    finals, done = [], []
    connect = client.stt.manual_finalize.websocket(model="ink-2", encoding="pcm_s16le", sample_rate=16000)
    with connect as socket:
        for frame in frames():
            socket.send_raw(frame)
        socket.send("finalize")
        for event in socket:
            assert event.type != "error", event
            if event.type == "transcript" and event.is_final:
                finals.append(event.text)
            if event.type == "flush_done":
                socket.send("close")
            if event.type == "done":
                done.append(event.request_id)
    assert done
    heard(["".join(finals)])


def cartesia_stt():
    upgrade_errors("cartesia_stt", ink)


for case in sys.argv[2:]:
    globals()[case]()
