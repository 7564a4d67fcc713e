"""What this worker answers to its siblings and to `ticker cluster`."""

from __future__ import annotations

from functools import partial

import msgspec
import trio

from ticker.cluster.questions import Question, path_of, serve_questions
from ticker.cluster.role import Role
from ticker.cluster.status import status_of
from ticker.service import Service
from ticker.web.operations import own_metrics

#: What the one worker of a machine that shares its market with other machines is called.
_ONLY = "1"


async def answer_siblings(
    service: Service, role: Role, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer until cancelled.

    Raises:
        OSError: the socket cannot be made.
    """
    name = _ONLY if service.siblings is None else service.siblings.name
    path = path_of(service.settings.data_dir, name)
    await serve_questions(path, partial(_answer, service, role, name), task_status=task_status)


def _answer(service: Service, role: Role, name: str, question: Question) -> bytes:
    if question.kind == "metrics":
        known = service.market.book
        return own_metrics(service, [each for each in question.symbols if each in known])
    return msgspec.json.encode(
        status_of(
            name,
            role,
            service.market,
            subscribers=service.admission.taken,
            not_ready=service.engine.not_ready(),
        )
    )
