"""A model ready to serve: read, hashed, checked against its contract, warmed up."""

import hashlib
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from edge import onnxfile
from edge.contract import Contract
from edge.errors import BadModelError

GOLDEN_TOLERANCE = {"float32": 1e-3, "int8": 0.05, "float16": 0.05}
"""How far a device's probabilities may lie from those at export: processors round differently.

Measured on LeNet and SmallCNN between x86 (AVX-512 VNNI, AVX2, SSE4.2) and ARM (Cortex-A72; ARMv8.2 with half
precision), all but the first emulated: float32 2e-6; int8 0.0015, where a value between two steps went to the other;
float16 0.010, which some compute in float32. A damaged file is further off, and so are int8 weights of 8 bits: their
sums saturate on AVX2 (onnxruntime's guide to quantisation, "reduce_range"), which was 0.7.
"""

MAX_MEMORY_BYTES = 1024**3
"""What onnxruntime may allocate for all models of a process, weights and intermediate results."""

RUN_BATCH = 32
"""Most images in one run of onnxruntime: more makes a model no faster, and its intermediate results larger."""

MAX_WARM_UP_S = 60.0
"""How long a model may take for its first images."""

_ORT_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}


class Model:
    """An onnxruntime session with its contract; `sha256` is the first 12 hex digits of the file's hash.

    `contract_sha256` is the same of a contract in a file of its own, else None.
    """

    def __init__(self, session: onnxruntime.InferenceSession, contract: Contract, sha256: str) -> None:
        self.contract = contract
        self.sha256 = sha256
        self.contract_sha256: str | None = None
        self._session = session
        batch = session.get_inputs()[0].shape[0]
        self._batch = batch if isinstance(batch, int) else RUN_BATCH

    def infer(self, images: npt.NDArray[Any], options: onnxruntime.RunOptions | None = None) -> npt.NDArray[np.float32]:
        """Class probabilities, float32 [N, classes], of images [N, *contract.shape] of the contract's dtype."""
        starts = range(0, len(images), self._batch)
        if len(starts) <= 1:
            return self._run(images, options)
        return np.concatenate([self._run(images[start : start + self._batch], options) for start in starts])

    def _run(self, images: npt.NDArray[Any], options: onnxruntime.RunOptions | None) -> npt.NDArray[np.float32]:
        feed = {self.contract.input_name: images}
        (probabilities,) = self._session.run([self.contract.output_name], feed, options)
        return np.asarray(probabilities, np.float32)


class Loading:
    """One load, which another thread may cancel: onnxruntime looks at that between its steps, and fails."""

    def __init__(self) -> None:
        self.session_options = onnxruntime.SessionOptions()
        self.run_options = onnxruntime.RunOptions()

    def cancel(self) -> None:
        """End it as soon as can be, also when it has not begun."""
        self.session_options.set_load_cancellation_flag(True)
        self.run_options.terminate = True


def load_model(
    path: Path,
    contract_path: Path | None = None,
    sha256: str | None = None,
    threads: int = 1,
    loading: Loading | None = None,
) -> Model:
    """Read a model file; its contract is inside it, or in the JSON file `contract_path`.

    `sha256`, 64 hex digits, is what the very bytes that are loaded must hash to; they are not parsed otherwise.
    `threads` is how many work on one inference: a small model is slower with more than one.

    Raises: BadModelError for a file that is missing, not the one named, no ONNX, unsafe, or at odds with its contract,
    and when `loading` is cancelled.
    """
    data = _read(path, "model")
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256.lower():
        raise BadModelError(f"the model file {path} has SHA-256 {found}; --model-sha256 asks for {sha256.lower()}")
    if contract_path is None:
        return load_model_bytes(data, str(path), None, threads, loading)
    text = _read(contract_path, "contract")
    model = load_model_bytes(data, str(path), Contract.from_json(text), threads, loading)
    model.contract_sha256 = _short(text)
    return model


def load_model_bytes(
    data: bytes, name: str, contract: Contract | None = None, threads: int = 1, loading: Loading | None = None
) -> Model:
    """The same for bytes in memory; `name` stands in error messages.

    Raises: BadModelError as `load_model` does.
    """
    try:
        return _load(data, contract, threads, loading or Loading())
    except BadModelError as error:
        raise BadModelError(f"{name}: {error.message}") from None


def _load(data: bytes, contract: Contract | None, threads: int, loading: Loading) -> Model:
    summary = onnxfile.check(data)
    contract = contract or summary.contract
    session = _session(data, summary.nodes, threads, loading.session_options)
    _check_signature(session, contract)
    model = Model(session, contract, _short(data))
    _warm_up(model, loading.run_options)
    return model


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _read(path: Path, what: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise BadModelError(f"the {what} file {path} is no regular file")
        with path.open("rb") as file:
            # One byte more than is accepted, so that a huge file is refused without being read.
            return file.read(onnxfile.MAX_MODEL_BYTES + 1)
    except FileNotFoundError:
        raise BadModelError(f"there is no {what} file {path.absolute()}") from None
    except OSError as error:
        raise BadModelError(f"the {what} file {path} cannot be read ({error.strerror})") from None


def _session(
    data: bytes, nodes: int, threads: int, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # A spinning thread would burn a core while the device waits for requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without this, onnxruntime takes bytes that also look like its own format for that, which was not checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # Constants are computed at load, outside the arena: each node gets its share.
    share = str(MAX_MEMORY_BYTES // max(1, nodes))
    options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", share)
    _limit_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        # Falling back to another provider would print to stdout, and there is none.
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=False)
    except Exception as error:  # onnxruntime's errors share no root of their own
        raise BadModelError(f"onnxruntime cannot load the model ({first_line(error)})") from None


@cache
def _limit_memory() -> None:
    """Once a process: let all sessions share one arena that refuses to grow beyond MAX_MEMORY_BYTES.

    A few bytes of ONNX may ask for any amount of memory, by operators whose output's size only running them shows.
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg({"max_mem": MAX_MEMORY_BYTES}))


def _check_signature(session: onnxruntime.InferenceSession, contract: Contract) -> None:
    inputs, outputs = session.get_inputs(), {output.name: output for output in session.get_outputs()}
    if [item.name for item in inputs] != [contract.input_name]:
        names = ", ".join(repr(item.name) for item in inputs)
        raise BadModelError(f"the contract's input is {contract.input_name!r}, the model's: {names}")
    if inputs[0].type != _ORT_TYPES[contract.dtype]:
        raise BadModelError(f"the contract's input is of {contract.dtype}, the model's is a {inputs[0].type}")
    if not _fits(inputs[0].shape, (None, *contract.shape)):
        raise BadModelError(
            f"the contract's images have shape {list(contract.shape)}, the model's {inputs[0].shape[1:]}"
        )
    if isinstance(inputs[0].shape[0], int) and inputs[0].shape[0] != 1:
        raise BadModelError(f"the model's batch is fixed at {inputs[0].shape[0]}; export it with a dynamic batch")
    if contract.output_name not in outputs:
        names = ", ".join(map(repr, outputs))
        raise BadModelError(f"the contract's output is {contract.output_name!r}, the model's: {names}")
    output = outputs[contract.output_name]
    if output.type != "tensor(float)" or not _fits(output.shape, (None, len(contract.labels))):
        raise BadModelError(
            f"the output {output.name!r} is a {output.type} of shape {output.shape}; the contract's "
            f"{len(contract.labels)} labels need float probabilities of shape [batch, {len(contract.labels)}]"
        )


def _fits(dimensions: list[int | str | None], expected: tuple[int | None, ...]) -> bool:
    return len(dimensions) == len(expected) and all(
        not isinstance(found, int) or wanted is None or found == wanted
        for found, wanted in zip(dimensions, expected, strict=True)
    )


def _warm_up(model: Model, options: onnxruntime.RunOptions) -> None:
    contract = model.contract
    golden = contract.golden
    images = np.stack([item.image for item in golden]) if golden else contract.example[np.newaxis]
    probabilities = _first_answers(model, images, options)
    if probabilities.shape != (len(images), len(contract.labels)):
        raise BadModelError(f"the model gives {probabilities.shape} for {len(images)} images")
    for item, found in zip(golden, probabilities, strict=False):
        # Written so that a NaN fails, too.
        if not np.max(np.abs(found - item.probabilities)) <= GOLDEN_TOLERANCE[contract.precision]:
            raise BadModelError(
                "the model answers its golden inputs otherwise than at export: the file is damaged, "
                "or onnxruntime computes wrongly on this device"
            )


def _first_answers(model: Model, images: npt.NDArray[Any], options: onnxruntime.RunOptions) -> npt.NDArray[np.float32]:
    # A loop in the model may have no end; onnxruntime looks at this between its steps.
    timer = threading.Timer(MAX_WARM_UP_S, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        return model.infer(images, options)
    except Exception as error:  # onnxruntime's errors share no root of their own
        if options.terminate:
            raise BadModelError(f"the model has no answer to its first images after {MAX_WARM_UP_S:g} s") from None
        raise BadModelError(f"the model fails on its first images ({first_line(error)})") from None
    finally:
        timer.cancel()


def first_line(error: Exception) -> str:
    """What onnxruntime says, in one printable line."""
    line = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
    # It may quote names of the model, and nothing in a file may steer the terminal.
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)
