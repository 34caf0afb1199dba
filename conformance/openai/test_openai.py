"""The official client against a gateway on a network of this machine: a chain, two providers, a key with a budget.

    pip install -r conformance/openai/requirements.txt
    GAVEL=target/release/gavel pytest conformance/openai
"""

import base64
import json
import os
import queue
import signal
import subprocess
import threading
import urllib.request
from pathlib import Path

import numpy as np
import onnx
import openai
import pytest
from jsonschema import Draft202012Validator
from onnx import TensorProto, helper, numpy_helper
from openapi_spec_validator import OpenAPIV31SpecValidator

GAVEL = str(Path(os.environ.get("GAVEL", "target/debug/gavel")).resolve())
ROOT = Path(__file__).parents[2]
MODELS = ["llm@96", "diffusion"]
# sixteen tokens, a row of four numbers each; texts of one to eight tokens
TABLE = np.arange(64, dtype=np.float32).reshape(16, 4) ** 2
ENCODER = "encoder.onnx@seq=1..8"
TALE = {"model": "llm@96", "messages": [{"role": "user", "content": "A cat."}], "max_tokens": 12, "seed": 7}


def write_encoder(path):
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "seq"])
    rows = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [1, "seq", 4])
    look_up = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    graph = helper.make_graph([look_up], "encoder", [ids], [rows], [numpy_helper.from_array(TABLE, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


class Process:
    """A command that runs until the end, and what it says."""

    def __init__(self, folder, env, *args):
        self.child = subprocess.Popen(
            [GAVEL, *args, "--json"], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self.events = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self.events.put(json.loads(line))
        self.events.put(None)

    def wait_for(self, name):
        while (event := self.events.get(timeout=300)) is not None:
            if event.get("event") == name:
                return event
        raise AssertionError(f"the process ended before {name}")

    def end(self):
        # at once: told to terminate, a provider first does what it owes
        self.child.send_signal(signal.SIGINT)
        self.child.wait(timeout=60)


class Network:
    def __init__(self, folder):
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("GAVEL_")}
        self.env["GAVEL_PASSWORD"] = "correct horse"
        self.running = []

    def run(self, *args):
        done = subprocess.run(
            [GAVEL, *args, "--json"], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{args}: {done.stderr}"
        return json.loads(done.stdout)

    def start(self, event, *args):
        process = Process(self.folder, self.env, *args)
        self.running.append(process)
        return process.wait_for(event)


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    net = Network(tmp_path_factory.mktemp("net"))
    try:
        chain = net.start("listening", "chain", "up", "--port", "0")
        net.env["GAVEL_RPC"] = chain["rpc"]
        names = ["deployer", "ann", "bob", "gate"]
        address = {name: net.run("key", "new", f"{name}.json")["address"] for name in names}
        minted = [flag for name in names[1:] for flag in ("--mint", address[name])]
        net.run("chain", "deploy", "--key", "deployer.json", "--probation", "0", *minted)
        models = []
        write_encoder(net.folder / "encoder.onnx")
        for model in [*MODELS, ENCODER]:
            net.run("model", "register", model, "--key", "deployer.json")
            models += ["--model", model]
        for name in ["ann", "bob"]:
            # a result keeps collateral locked until its windows have passed: with less stake the tests would wait for that
            key = ["--key", f"{name}.json", "--poll", "100", "--concurrency", "64", "--ops", "127.0.0.1:0"]
            key += ["--stake", "9000"]
            net.provider_ops = net.start("serving", "provider", "run", *models, *key)["ops"]
        net.key = net.run("gateway", "key", "new", "--name", "tests", "--rate", "6000")["key"]
        net.poor = net.run("gateway", "key", "new", "--name", "poor", "--budget", "1")["key"]
        loopback = ["--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--poll", "100"]
        found = net.start("listening", "gateway", "run", "--key", "gate.json", *models, *loopback)
        net.api, net.ops = found["api"], found["ops"]
        yield net
    finally:
        for process in reversed(net.running):
            process.end()


@pytest.fixture(scope="session")
def client(net):
    return openai.OpenAI(base_url=net.api, api_key=net.key, timeout=300)


def gavel(answer):
    """What is ours in an answer."""
    return answer.model_extra["gavel"]


def test_the_document_is_valid_kept_and_true(net, client):
    """Served without a key; answers of the encoder, whose model the gateway's own tests do not have, are what it says."""
    with urllib.request.urlopen(net.api.removesuffix("/v1") + "/openapi.json") as found:
        document = json.load(found)
    OpenAPIV31SpecValidator(document).validate()
    assert document == json.loads((ROOT / "docs/reference/openapi.json").read_text())

    def check(schema, value):
        whole = {"allOf": [{"$ref": f"#/components/schemas/{schema}"}], "components": document["components"]}
        Draft202012Validator(whole).validate(value)

    for encoding in ("float", "base64"):
        ask = {"model": "encoder", "input": [[3], [1, 2]], "encoding_format": encoding}
        check("EmbeddingRequest", ask)
        check("Embeddings", client.post("/embeddings", body=ask, cast_to=object))
    check("ChatCompletion", client.post("/chat/completions", body=TALE, cast_to=object))
    check("ModelList", client.get("/models", cast_to=object))


def test_models(client):
    assert [model.id for model in client.models.list()] == [*MODELS, "encoder"]
    assert client.models.retrieve("llm@96").model_extra["gavel"]["context"] == 96
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("gpt-5")
    assert refused.value.code == "model_not_found"


def test_chat_is_bit_exact_and_its_receipt_holds(client, net):
    first = client.chat.completions.create(**TALE)
    again = client.chat.completions.create(**TALE)
    assert first.choices[0].message.content
    assert first.choices[0].message.content == again.choices[0].message.content
    assert first.system_fingerprint == again.system_fingerprint
    assert first.system_fingerprint.startswith("gvl1-")
    assert first.usage == again.usage
    task = gavel(first)["task_id"]
    assert task != gavel(again)["task_id"]
    assert gavel(first)["status"] in ("committed", "settled")
    request = urllib.request.Request(f"{net.api}/tasks/{task}/receipt", headers={"Authorization": f"Bearer {net.key}"})
    with urllib.request.urlopen(request) as found:
        (net.folder / "receipt.json").write_bytes(found.read())
    judged = net.run("verify", "receipt.json", "--model", "llm@96")
    assert judged["signed"] and judged["claim"] is True
    assert judged["receipt"] == gavel(first)["receipt"]


def test_stream_says_the_same(client):
    whole = client.chat.completions.create(**TALE)
    chunks = list(client.chat.completions.create(**TALE, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage and chunks[-1].choices == []
    assert gavel(chunks[-1])["receipt"]["output_digest"] == gavel(whole)["receipt"]["output_digest"]


def test_completions(client):
    answer = client.completions.create(model="llm@96", prompt="Once upon a time", max_tokens=8, seed=1, temperature=0)
    assert answer.usage.completion_tokens <= 8 and answer.choices[0].text
    several = client.completions.create(model="llm@96", prompt="Once", max_tokens=4, n=2, seed=1)
    assert [choice.index for choice in several.choices] == [0, 1]


def test_embeddings_are_the_means_of_the_tokens_rows(client):
    texts = [[3], [1, 2, 15], [0, 0, 7, 9]]
    for encoding in ({}, {"encoding_format": "float"}):
        found = client.embeddings.create(model="encoder", input=texts, **encoding)
        assert [one.index for one in found.data] == [0, 1, 2]
        for text, one in zip(texts, found.data):
            total = np.zeros(4, dtype=np.float32)
            for token in text:
                total += TABLE[token]
            assert np.array(one.embedding, dtype=np.float32).tolist() == (total / np.float32(len(text))).tolist()
        assert found.usage.prompt_tokens == 8
        assert gavel(found)["receipt"]
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="encoder", input=list(range(9)))
    assert refused.value.code == "context_length_exceeded"


def test_image(client):
    ask = {"model": "diffusion", "prompt": "", "response_format": "b64_json", "extra_body": {"seed": 3}}
    first, again = client.images.generate(**ask), client.images.generate(**ask)
    png = base64.b64decode(first.data[0].b64_json)
    assert png.startswith(b"\x89PNG") and png == base64.b64decode(again.data[0].b64_json)


def test_errors_have_the_codes_that_clients_branch_on(client, net):
    def code(error, **changes):
        with pytest.raises(error) as refused:
            client.chat.completions.create(**{**TALE, **changes})
        return refused.value.code, refused.value.param

    assert code(openai.NotFoundError, model="gpt-5") == ("model_not_found", "model")
    assert code(openai.BadRequestError, max_tokens=4096) == ("context_length_exceeded", "messages")
    assert code(openai.BadRequestError, logprobs=True) == ("unsupported_parameter", "logprobs")
    assert code(openai.BadRequestError, extra_body={"mirostat": 2}) == ("unknown_parameter", "mirostat")
    stranger = openai.OpenAI(base_url=net.api, api_key="gvk-none")
    with pytest.raises(openai.AuthenticationError) as refused:
        stranger.models.list()
    assert refused.value.code == "invalid_api_key"
    poor = openai.OpenAI(base_url=net.api, api_key=net.poor)
    with pytest.raises(openai.RateLimitError) as refused:
        poor.chat.completions.create(**TALE)
    assert refused.value.code == "insufficient_quota"


def test_a_request_that_is_repeated_is_one_task(client):
    headers = {"Idempotency-Key": "test-1"}
    ask = {k: v for k, v in TALE.items() if k != "seed"}
    first = client.chat.completions.create(**ask, extra_headers=headers)
    again = client.chat.completions.create(**ask, extra_headers=headers)
    assert gavel(first)["task_id"] == gavel(again)["task_id"]
    with pytest.raises(openai.UnprocessableEntityError):
        client.chat.completions.create(**{**ask, "max_tokens": 3}, extra_headers=headers)


def test_curl(net):
    def curl(*args):
        auth = ["-H", f"Authorization: Bearer {net.key}"]
        done = subprocess.run(["curl", "-sS", *auth, *args], capture_output=True, text=True, timeout=300, check=True)
        return done.stdout

    assert json.loads(curl(f"{net.api}/models"))["object"] == "list"
    body = json.dumps({**TALE, "stream": True})
    lines = curl("-N", f"{net.api}/chat/completions", "-H", "Content-Type: application/json", "-d", body).splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data[-1] == "[DONE]" and json.loads(data[-2])["gavel"]["receipt"]


def test_operators_see_it(net):
    with urllib.request.urlopen(f"{net.ops}/metrics") as found:
        text = found.read().decode()
    assert 'gavel_http_requests_total{route="/v1/models",status="200"}' in text
    with urllib.request.urlopen(f"{net.ops}/readyz?verbose") as found:
        assert "[+]" in found.read().decode()


def test_operators_see_a_provider(net):
    with urllib.request.urlopen(f"{net.provider_ops}/metrics") as found:
        lines = found.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert any('role="provider"' in name for name in values)
    assert values["gavel_breaker_open"] == "0"
    assert float(values['gavel_stake_tokens{state="free"}']) + float(values['gavel_stake_tokens{state="locked"}']) > 0
    with urllib.request.urlopen(f"{net.provider_ops}/readyz?verbose") as found:
        assert "[+]" in found.read().decode()
