"""`healthcheck`: asks the running gateway whether all is well, for containers, watchdogs and monitoring."""

import argparse
import base64
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from smarty_gateway.commands.chosen import chosen_config
from smarty_gateway.commands.options import Subparsers, add_shared
from smarty_gateway.config.password_file import read_password
from smarty_gateway.config.values import HttpConfig
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable

#: Seconds for the whole answer.
_WITHIN: Final = 5.0
_ANSWER_MAX: Final = 65_536
_MEANINGS: Final = {"starting": "not heard yet", "silent": "silent"}
#: What is printed of what is wrong: how many things, and characters of each.
_PROBLEMS_MAX: Final = 5
_PROBLEM_MAX: Final = 200
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a gateway listens
_USER: Final = b"healthcheck"  # any is right


class NothingToAskError(GatewayError):
    """The configuration does not make the gateway answer."""

    exit_status = ExitStatus.WRONG_USAGE


class NotHealthyError(GatewayError):
    """The gateway does not answer, or says that something is wrong."""

    exit_status = ExitStatus.REJECTED


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "healthcheck",
        help="ask the running gateway whether all is well",
        description="Asks the gateway that runs with this configuration, at the address of `http:`, whether "
        "every meter is heard and every output works. It answers within 5 seconds.",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="ask only whether its threads live: for a watchdog, which cannot repair a meter or a broker",
    )
    add_shared(parser, "--config")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Ask, and print the answer.

    Raises:
        NothingToAskError: there is no configuration, or none with `http:`.
        NotHealthyError: something is wrong, or nothing answers.
        PasswordFileError: the password cannot be read.
    """
    config = chosen_config(args)
    if config is None:
        raise NothingToAskError(
            "there is no gateway.yaml here or in /etc/smarty-gateway; name it: --config FILE"
        )
    page = config.outputs.http
    if page is None:
        raise NothingToAskError(
            "the gateway answers only with the output http; add `http: true` below `outputs:` in gateway.yaml"
        )
    status, answer = _answer(page, "/livez" if args.live else "/healthz", is_secret=not args.live)
    if status != http.client.OK:
        raise NotHealthyError(_what_is_wrong(status, answer))
    print("the gateway is alive" if args.live else "all is well", flush=True)
    return ExitStatus.GOOD


def _answer(page: HttpConfig, path: str, *, is_secret: bool) -> tuple[int, bytes]:
    """Return status and body; neither a proxy of the environment nor a redirect is followed.

    Raises:
        NotHealthyError: there is no answer.
        PasswordFileError: the password cannot be read.
    """
    headers = {"Connection": "close"}
    if is_secret and page.password_file is not None:
        known = base64.b64encode(_USER + b":" + read_password(page.password_file))
        headers["Authorization"] = f"Basic {known.decode()}"
    page = replace(page, host=_LOOPBACK.get(page.host, page.host))
    connection = http.client.HTTPConnection(page.host, page.port, timeout=_WITHIN)
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        with suppress(OSError, AttributeError):  # it is not connected yet, or has ended
            connection.sock.shutdown(socket.SHUT_RDWR)

    # The timeout of a connection counts anew with each byte.
    timer = threading.Timer(_WITHIN, end)
    timer.daemon = True
    with closing(connection):
        timer.start()
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            found = response.status, response.read(_ANSWER_MAX)
            if is_late.is_set():  # what was cut off may look complete
                raise TimeoutError
        except (OSError, http.client.HTTPException) as error:
            raise NotHealthyError(
                _why_silent(error, f"http://{page.address}{path}", is_late=is_late.is_set())
            ) from None
        finally:
            timer.cancel()
        return found


def _why_silent(error: Exception, where: str, *, is_late: bool) -> str:
    if is_late or isinstance(error, TimeoutError):
        return f"{where} has not answered within {_WITHIN:g} s"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on {where}; does smarty-gateway run with this configuration?"
    if isinstance(error, http.client.HTTPException):
        return f"what answers on {where} is no gateway; does another program listen there?"
    return f"{where} cannot be reached: {getattr(error, 'strerror', None) or error}"


def _what_is_wrong(status: int, answer: bytes) -> str:
    """Return in one line what the gateway says; everything in its answer is data."""
    if status in (http.client.UNAUTHORIZED, http.client.TOO_MANY_REQUESTS):
        return "the gateway refuses the password; was its file changed? The gateway reads it when it starts"
    if status != http.client.SERVICE_UNAVAILABLE:
        return f"the gateway answers with status {status}; does another program listen on its port?"
    problems = list(islice(_problems(_object(answer)), _PROBLEMS_MAX))
    if not problems:
        return "something is wrong in the gateway; its log and the page say what"
    return "; ".join(printable(problem[:_PROBLEM_MAX]) for problem in problems)


def _object(answer: bytes) -> dict[str, Any]:
    """Return the JSON object of an answer; an empty one where it is something else."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _problems(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with outputs and meters (docs/reference.md, "HTTP")."""
    outputs, meters = found.get("outputs"), found.get("meters")
    for name, state in outputs.items() if isinstance(outputs, dict) else ():
        if state != "ok":
            yield f"output {name}: {state}"
    for meter in meters if isinstance(meters, list) else ():
        if isinstance(meter, dict) and meter.get("expected") and meter.get("availability") != "online":
            yield f"meter {meter.get('meter')}: {_MEANINGS.get(str(meter.get('availability')), 'not heard')}"
