"""What workers ask each other, and `ticker cluster` asks all of them: over a socket of each.

A question is one message, its answer all bytes up to the end. Who does not answer in time is left
out: a worker that is stopped must not stop the others' answers.

Rules for this module: it knows bytes; what an answer means is the business of who asks.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NoReturn

import msgspec
import trio

from ticker import limits
from ticker.cluster import unix_socket

Kind = Literal["metrics", "status"]
_GONE: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


class Question(msgspec.Struct, frozen=True, array_like=True):
    """One question.

    Attributes:
        kind: what is asked.
        symbols: of which symbols, where that matters.
    """

    kind: Kind
    symbols: Sequence[str] = ()


#: Makes the answer to a question.
Answer = Callable[[Question], bytes]
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Question)


def path_of(data_dir: Path, worker: str) -> Path:
    """Return where a worker is asked."""
    return data_dir / f"worker-{worker}.sock"


async def serve_questions(
    path: Path, answer: Answer, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> NoReturn:
    """Answer until cancelled.

    Raises:
        OSError: the socket cannot be made.
    """

    async def reply(stream: trio.SocketStream) -> None:
        with trio.move_on_after(limits.QUESTION_SECONDS), suppress(*_GONE):
            async with stream:
                asked = await _read(stream, limits.QUESTION_BYTES)
                with suppress(msgspec.MsgspecError):
                    await stream.send_all(answer(_decoder.decode(asked)))

    with unix_socket.listen(path, socket.SOCK_STREAM) as listening:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        task_status.started()
        await trio.serve_listeners(reply, [listener])


async def ask_workers(data_dir: Path, question: Question, *, but: str = "") -> Mapping[str, bytes]:
    """Ask every worker that answers.

    Args:
        data_dir: the directory that they share.
        question: what to ask.
        but: a worker not to be asked.

    Returns:
        The answers by worker, in the order of their numbers.
    """
    answers: dict[str, bytes] = {}

    async def ask(worker: str) -> None:
        with trio.move_on_after(limits.QUESTION_SECONDS), suppress(*_GONE):
            connected = unix_socket.connect(path_of(data_dir, worker), socket.SOCK_STREAM)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(connected))
            async with stream:
                await stream.send_all(_encoder.encode(question))
                await stream.send_eof()
                answers[worker] = await _read(stream, limits.WORKER_ANSWER_BYTES)

    async with trio.open_nursery() as nursery:
        for name in _workers(data_dir):
            if name != but:
                nursery.start_soon(ask, name)
    return {name: answers[name] for name in sorted(answers, key=_order)}


def _workers(data_dir: Path) -> list[str]:
    """Name every worker there may be."""
    return [path.stem.removeprefix("worker-") for path in data_dir.glob("worker-*.sock")]


def _order(worker: str) -> tuple[int, str]:
    return int(worker) if worker.isdigit() else limits.WORKERS_MOST, worker


async def _read(stream: trio.SocketStream, most: int) -> bytes:
    """Read up to the end; trio.BrokenResourceError where that is too much."""
    data = bytearray()
    async for part in stream:
        data += part
        if len(data) > most:
            raise trio.BrokenResourceError("too long")
    return bytes(data)
