"""The worker's settings; the descriptions are the help of `twinhead serve`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class WorkerSettings(BaseModel):
    """How a worker listens, batches and limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        default="starter",
        description="Checkpoint folder to serve, or `starter` for the embedded model.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Another than loopback lets others than this machine in "
        "and needs TLS, or --allow-plaintext; give callers tokens with --token-file.",
    )
    port: int = Field(
        default=50051, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    admin_host: str = Field(
        default="127.0.0.1",
        description="Address of the admin service, through which new weights come. Another than "
        "loopback needs --token-file.",
    )
    admin_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of the admin service; 0 takes a free one. Without it: one above --port, "
        "or a free one with --port 0.",
    )
    token_file: str = Field(
        default="",
        description="File with the bearer tokens that callers may show, one a line, each with its "
        "scopes after it: `TOKEN infer,read,admin`. Read again when it changes. Without "
        "it every program that reaches the worker may call it, and change the model.",
    )
    anonymous: str = Field(
        default="",
        pattern=r"^(|infer|read|infer,read|read,infer)$",
        description="Scopes of callers without a token when there is a --token-file: `infer`, "
        "`read` or `infer,read`.",
    )
    tls_certificate: str = Field(
        default="",
        description="File with the worker's certificate in PEM, and those between it and its root; "
        "used for both addresses. Read again when it changes.",
    )
    tls_key: str = Field(
        default="", description="File with the private key of --tls-certificate, without password."
    )
    tls_client_ca: str = Field(
        default="",
        description="File with the roots of callers' certificates (mutual TLS): then only who has "
        "one of them gets in.",
    )
    allow_plaintext: bool = Field(
        default=False,
        description="Listen without TLS also where others than this machine can reach it: for "
        "networks that are trusted, or encrypted themselves.",
    )
    model_name: str = Field(
        default="twinhead",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="Name of the model for callers that speak the Open Inference Protocol, who ask "
        "for models by name.",
    )
    tei: bool = Field(
        default=False,
        description="Also speak the gRPC API of text-embeddings-inference, `tei.v1`, on the same "
        "port, so that its callers need another address and nothing else.",
    )
    state: str = Field(
        default="",
        description="Folder in which versions that were pushed are kept, so that a restart comes "
        "up with the last live one (unless --model is another than then). Without it a restart "
        "goes back to --model.",
    )
    keep_versions: int = Field(
        default=4,
        ge=2,
        le=1000,
        description="Versions that the state folder keeps; each takes the space of the tensors "
        "that no other has.",
    )
    version_bytes: int = Field(
        default=4 * 1024**3,
        ge=1,
        description="Bytes that the weights of a version may take which is not of the live "
        "version's architecture.",
    )
    watch: str = Field(
        default="",
        description="Folder or object-store prefix (any URL of fsspec) to follow: what is "
        "published there, by `twinhead push --publish`, goes live here.",
    )
    watch_seconds: float = Field(
        default=5.0, ge=0.1, le=3600, description="Time between two looks at --watch."
    )
    watch_new_tasks: bool = Field(
        default=False,
        description="Whether a version from --watch may change architecture, tasks or labels while "
        "the worker runs; at the start it always may.",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where the model runs: `cpu`, `cuda`, `cuda:N`, or `auto` for a GPU if there "
        "is one.",
    )
    engine: str = Field(
        default="auto",
        pattern=r"^(auto|torch|openvino)$",
        description="What runs the model: `openvino` (on a CPU; needs the extra `openvino`), a "
        "quarter faster in float32; `torch`, which takes some 150 MB less and new weights half a "
        "second sooner; or `auto`: OpenVINO on a CPU where it is installed and can run the "
        "model, else torch.",
    )
    precision: str = Field(
        default="float32",
        pattern=r"^(float32|bfloat16|int8)$",
        description="`float32`; `bfloat16`, nearly twice as fast on processors that have it, with "
        "embeddings at a cosine of 0.9999; or `int8`, nearly three times as fast on processors "
        "that have it, with some labels other than before. int8 is prepared once for each encoder, "
        "from sample text, in ten seconds or more; the loss is measured and told. The last two "
        "need OpenVINO.",
    )
    calibration: str = Field(
        default="",
        description="File with some hundreds of sentences like yours, one a line, to prepare int8 "
        "with. Without it: the 200 example sentences.",
    )
    int8_min_cosine: float = Field(
        default=0.995,
        ge=0,
        le=1,
        description="Mean cosine of embeddings by int8 and by float32 below which int8 is refused.",
    )
    int8_min_agreement: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Share of sentences with the same label by int8 and by float32, for each task, "
        "below which int8 is refused.",
    )
    engine_cache: str = Field(
        default="",
        description="Folder in which encoders in int8 are kept. Without it: in --state, or else in "
        "the user's cache folder.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="CPU threads of the encoder; 0 takes one for each usable core. Fewer leave "
        "room for other programs and make it slower.",
    )
    streams: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Encoder passes at once on a CPU, which share its threads. More give more "
        "sentences a second, as threads of one pass wait for each other; fewer make each pass "
        "quicker. A pass that is alone takes all threads anyway. 0 takes one for each thread, 8 at "
        "most.",
    )
    token_budget: int = Field(
        default=0,
        ge=0,
        le=1_048_576,
        description="Padded tokens of one encoder pass. Larger passes keep a GPU busy; on a CPU "
        "they leave the caches, take memory and make short calls wait longer. 0 takes 512 on CPU, "
        "16384 on GPU.",
    )
    queue_tokens: int = Field(
        default=65_536,
        ge=1,
        description="Tokens that may wait for the encoder, over all callers; about five seconds of "
        "work for two CPU cores. More absorbs longer bursts and lets waits grow.",
    )
    sentences_per_request: int = Field(
        default=1024,
        ge=1,
        le=65_536,
        description="Sentences in one request. Fewer apply when the model's embeddings would make "
        "an answer larger than the 4 MiB that gRPC clients accept by default.",
    )
    request_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=1024,
        le=256 * 1024 * 1024,
        description="Bytes of one request message: 1024 sentences of 16 KiB.",
    )
    characters_per_sentence: int = Field(
        default=100_000,
        ge=1,
        description="Characters of a sentence that are tokenised; the rest counts as truncated. A "
        "bound on the time that one sentence can take (about 40 ms).",
    )
    batches_per_stream: int = Field(
        default=16,
        ge=1,
        le=1024,
        description="Batches of one stream that may be in the worker at once: read, and their "
        "answers not yet taken. A bound on what one slow reader can hold in memory.",
    )
    concurrent_calls: int = Field(
        default=512,
        ge=1,
        description="Inference calls and streams at once, over all callers; more fail with "
        "RESOURCE_EXHAUSTED.",
    )
    stall_seconds: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="Time without a sign of life of the model (an encoder pass, or a probe of one "
        "sentence when nobody calls) after which health turns NOT_SERVING, until there is one.",
    )
    drain_seconds: float = Field(
        default=20.0,
        ge=0,
        description="Time to finish accepted work after SIGTERM; what is then left is cut off. "
        "Keep it below the time after which your supervisor kills.",
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        description="Address of the Prometheus metrics. They hold counts and times and no text, "
        "and whoever reaches the address may read them.",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of the Prometheus metrics, over HTTP at /metrics; 0 takes a free one. "
        "Without it there are none.",
    )
    web: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of a web page in front of this worker: ask, see labels and load, push "
        "and roll back; 0 takes a free one. Without it there is none. Needs the extra `web`. Where "
        "the worker asks for tokens, the page shows the one in TWINHEAD_CLIENT_TOKEN_FILE.",
    )
    web_host: str = Field(
        default="127.0.0.1",
        description="Address of that page. It asks nobody who they are: on another than loopback "
        "everybody who reaches it may do what the page may, unencrypted, so that it needs "
        "--allow-plaintext.",
    )
    traces: bool = Field(
        default=False,
        description="Send traces of calls to an OpenTelemetry collector, where OpenTelemetry's own "
        "variables say (OTEL_EXPORTER_OTLP_ENDPOINT and others). Needs the extra `otel`.",
    )
    log_format: Literal["human", "json"] = Field(
        default="human", description="`human` lines, or a `json` object a line."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="What to log: from `info` also calls that fail (20 a second at most), from "
        "`debug` every call.",
    )
