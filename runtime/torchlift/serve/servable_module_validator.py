"""Serve the module for one request before training starts.

Lightning starts FastAPI in a second process for this. Here Python's own server answers the same two addresses
(``GET /ping``, ``POST /serve``) from a thread, with a copy of the module: no package, no fork.
"""

import copy
import json
import threading
import traceback
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import torch

from torchlift.callback import Callback
from torchlift.serve.servable_module import ServableModule
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_only
from torchlift.utilities.seed import isolate_rng

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["ServableModuleValidator"]


@dataclass(frozen=True)
class Response:
    """What the server said."""

    status_code: int
    text: str

    @property
    def ok(self) -> bool:
        return self.status_code == 200

    def json(self) -> Any:
        return json.loads(self.text)


class ServableModuleValidator(Callback):
    """Ask the module, served, for its example's answer, and compare it with the one that it expects.

    Args:
        optimization: only ``None``, as in Lightning.
        server: only ``"fastapi"``, as in Lightning; the addresses are those that it would serve.
        host: where to listen.
        port: where to listen; 0 takes a free one.
        timeout: seconds that the answer may take.
        exit_on_failure: end the run if the module cannot be served.

    Raises:
        NotImplementedError: another `optimization` or `server`.
        MisconfigurationException: (when training starts) the module failed, or gave another answer.
        TypeError: (when training starts) it is no ServableModule.
    """

    def __init__(
        self,
        optimization: str | None = None,
        server: str = "fastapi",
        host: str = "127.0.0.1",
        port: int = 8080,
        timeout: float = 20,
        exit_on_failure: bool = True,
    ) -> None:
        if optimization is not None:
            raise NotImplementedError(f"The optimization {optimization} is currently not supported.")
        if server != "fastapi":
            raise NotImplementedError("Only the fastapi server is currently supported.")
        self.optimization = optimization
        self.server = server
        self.host = host
        self.port = port
        self.timeout = timeout
        self.exit_on_failure = exit_on_failure
        self.resp: Response | None = None

    @property
    def successful(self) -> bool | None:
        """Whether the module was served; ``None`` before it was tried."""
        return None if self.resp is None else self.resp.ok

    def state_dict(self) -> dict[str, Any]:
        return {"successful": self.successful, "optimization": self.optimization, "server": self.server}

    @rank_zero_only
    def on_train_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        if not isinstance(pl_module, ServableModule):
            raise TypeError(f"The provided model should be subclass of {ServableModule.__qualname__}.")
        payload = pl_module.configure_payload()
        if "body" not in payload:
            raise MisconfigurationException(f'Your provided payload {payload} should have a field named "body".')
        with isolate_rng(), _served(copy.deepcopy(pl_module).eval(), self.host, self.port) as address:
            self.resp = _post(f"{address}/serve", payload, self.timeout)
        if self.resp.ok:
            self._compare(pl_module.configure_response())
        elif self.exit_on_failure:
            raise MisconfigurationException(f"The model isn't servable. It failed with:\n{self.resp.text}")

    def _compare(self, expected: Any) -> None:
        assert self.resp is not None
        if self.resp.json() != expected:
            raise MisconfigurationException(
                f"The expected response {expected} doesn't match the generated one {self.resp.json()}."
            )
        rank_zero_info(f"Your model is servable and the received payload was {expected}.")


def _answer(module: Any, request: dict[str, Any]) -> dict[str, Any]:
    read, write = module.configure_serialization()
    body = {name: read[name](value) if name in read else value for name, value in request["body"].items()}
    with torch.no_grad():
        output = module.serve_step(**body)
    if not isinstance(output, dict):
        raise TypeError(f"Please, return your outputs as a dictionary. Found {output}")
    return {name: write[name](value) if name in write else value for name, value in output.items()}


@contextmanager
def _served(module: Any, host: str, port: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200 if self.path == "/ping" else 404, json.dumps(self.path == "/ping"))

        def do_POST(self) -> None:
            if self.path != "/serve":
                return self._send(404, "")
            try:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._send(200, json.dumps(_answer(module, request)))
            except Exception:
                self._send(500, traceback.format_exc())

        def _send(self, status: int, text: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the answer is looked at."""

    with ThreadingHTTPServer((host, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _post(url: str, payload: dict[str, Any], timeout: float) -> Response:
    request = urllib.request.Request(url, json.dumps(payload).encode(), {"Content-Type": "application/json"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never ask a proxy for one's own machine
    try:
        with direct.open(request, timeout=timeout) as answer:
            return Response(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Response(error.code, error.read().decode())
