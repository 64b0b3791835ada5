"""One API request from its raw form to its raw answer: key, version, faults, rendering."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from dunning.sandbox import faults, jobs
from dunning.sandbox.api import routes
from dunning.sandbox.errors import ApiError, DropConnection, Obj, invalid
from dunning.sandbox.expand import Path, check, expand
from dunning.sandbox.idempotency import Keys
from dunning.sandbox.listing import Page
from dunning.sandbox.params import Params, nested
from dunning.sandbox.render import shape
from dunning.sandbox.world import NEWEST, RequestContext, World, log

_VERSION = re.compile(r"^\d{4}-\d{2}-\d{2}(\.[a-z]+)?$")


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What goes back, or that nothing does."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    hang: float = 0.0
    finish_key: str | None = None


@dataclass
class Begun:
    """A request that may be executed: everything about it has been checked."""

    asked: Asked
    context: RequestContext
    route: routes.Route
    names: dict[str, str]
    params: Params
    paths: list[Path]
    hang: float = 0.0


class Gateway:
    """Answers API requests. `begin` checks, `execute` works; between them a fault may wait."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys = Keys()

    # --- first half ------------------------------------------------------------------------
    def begin(self, asked: Asked) -> Begun | Answer:
        """Everything that can be refused before anything is done."""
        world = self.world
        with world.lock:
            context = RequestContext(world.id("req", 14))
            try:
                return self._begin(asked, context)
            except ApiError as error:
                return self._error(asked, context, error)
            except DropConnection:
                self._log(asked, context, None)
                return Answer(0, b"", drop=True)

    def _begin(self, asked: Asked, context: RequestContext) -> Begun | Answer:
        _authenticate(asked.headers.get("authorization", ""))
        context.version = self._version(asked)
        context.key = asked.headers.get("idempotency-key") if asked.method == "POST" else None
        params = Params(_decode(asked))
        found = routes.find(asked.method, asked.path)
        if found is None:
            raise ApiError(
                404,
                f"Unrecognized request URL ({asked.method}: {asked.path}). Please see"
                " https://stripe.com/docs or we can help at https://support.stripe.com/.",
                stored=False,
            )
        route, names = found
        params.allow(route.allowed)
        paths = check(route.returns, params.words("expand"), context.version)
        if context.key:
            replay = self._replay(asked, context)
            if replay is not None:
                return replay
        begun = Begun(asked, context, route, names, params, paths)
        rule = self.world.faults.next_request(asked.method, asked.path)
        if rule is not None:
            try:
                faults.apply_to_request(rule.outcome, context)
            except (ApiError, DropConnection):
                if context.key:
                    self.keys.forget(context.key)
                raise
            begun.hang, context.hang = context.hang, 0.0
        return begun

    def _version(self, asked: Asked) -> str:
        given = asked.headers.get("stripe-version", "").split(";")[0].strip()
        version = given or self.world.settings.api_version or NEWEST
        if not _VERSION.match(version):
            raise invalid(f"Invalid Stripe API version: {version}")
        return version

    def _replay(self, asked: Asked, context: RequestContext) -> Answer | None:
        key = context.key or ""
        content = asked.body + b"?" + asked.query.encode()
        kept = self.keys.begin(
            self.world,
            key,
            asked.method,
            asked.path,
            hashlib.sha256(content).hexdigest(),
            context.id,
        )
        if kept is None:
            return None
        headers = self._headers(context)
        headers["Idempotent-Replayed"] = "true"
        headers["Original-Request"] = kept.request_id
        status = kept.status or 500
        self._log(asked, context, status, replayed=True)
        return Answer(status, kept.body, headers)

    # --- second half -----------------------------------------------------------------------
    def execute(self, begun: Begun) -> Answer:
        """Do the work and render the outcome, whatever it is."""
        world, context = self.world, begun.context
        with world.lock, world.acting("api", context):
            try:
                answer = self._work(begun)
            except ApiError as error:
                answer = self._error(begun.asked, context, error, begun=True)
            except DropConnection:
                if context.key:
                    self.keys.forget(context.key)
                self._log(begun.asked, context, None)
                return Answer(0, b"", drop=True)
            except Exception:  # noqa: BLE001
                # A mistake of ours must look like one of Stripe's, and be found in our log.
                log.exception("request.failed path=%s", begun.asked.path)
                broken = faults.status_error({"status": 500})
                answer = self._error(begun.asked, context, broken, begun=True)
            if context.status_after:
                lost = faults.status_error({"status": context.status_after})
                answer = self._render_error(context, lost)
                answer.finish_key = context.key
            # What follows at once, such as a dispute of a disputing card, is there before the
            # next request. A job that breaks is logged where it breaks and spoils no answer.
            with suppress(Exception):
                jobs.run_due(world)
        answer.drop = context.drop_after
        answer.hang = context.hang
        return answer

    def finish(self, answer: Answer) -> None:
        """The answer is ready to go out: from now on its key replays it."""
        if answer.finish_key:
            with self.world.lock:
                self.keys.finish(answer.finish_key, answer.status, answer.body)

    def _work(self, begun: Begun) -> Answer:
        context, route = begun.context, begun.route
        call = routes.Call(self.world, begun.params, begun.names, context.version)
        result = route.handler(call)
        if isinstance(result, Page):
            rendered: Obj = {
                "object": "list",
                "data": [self._shape(route, one, context.version) for one in result.data],
                "has_more": result.has_more,
                "url": result.url,
            }
            kind = route.returns.removeprefix("list:")
            inner = [path[1:] for path in begun.paths]
            for one in rendered["data"]:
                expand(self.world, kind, one, inner, context.version)
        else:
            rendered = self._shape(route, result, context.version)
            expand(self.world, route.returns, rendered, begun.paths, context.version)
        self._log(begun.asked, context, 200)
        body = json.dumps(rendered, indent=self.world.settings.indent, ensure_ascii=False).encode()
        return Answer(200, body, self._headers(context), finish_key=context.key)

    def _shape(self, route: routes.Route, obj: Obj, version: str) -> Obj:
        return obj if route.raw else shape(self.world, obj, version)

    # --- refusals --------------------------------------------------------------------------
    def _error(
        self, asked: Asked, context: RequestContext, error: ApiError, *, begun: bool = False
    ) -> Answer:
        self._log(asked, context, error.status)
        answer = self._render_error(context, error)
        if begun and context.key:
            if error.stored:
                answer.finish_key = context.key
            else:
                self.keys.forget(context.key)
        return answer

    def _render_error(self, context: RequestContext, error: ApiError) -> Answer:
        body = error.body(context.id, self.world.now)
        for name, value in body["error"].items():
            if isinstance(value, dict) and "object" in value:
                body["error"][name] = shape(self.world, value, context.version)
        raw = json.dumps(body, indent=self.world.settings.indent, ensure_ascii=False).encode()
        return Answer(error.status, raw, {**self._headers(context), **error.headers})

    def _headers(self, context: RequestContext) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Request-Id": context.id,
            "Stripe-Version": context.version,
        }
        if context.key:
            headers["Idempotency-Key"] = context.key
        return headers

    def _log(
        self, asked: Asked, context: RequestContext, status: int | None, *, replayed: bool = False
    ) -> None:
        self.world.requests.append(
            {
                "id": context.id,
                "method": asked.method,
                "path": asked.path,
                "key": context.key,
                "status": status,
                "at": self.world.now,
                "replayed": replayed,
                "version": context.version,
            }
        )


def _authenticate(header: str) -> None:
    scheme, _, value = header.partition(" ")
    key = ""
    if scheme.lower() == "bearer":
        key = value.strip()
    elif scheme.lower() == "basic":
        try:
            key = base64.b64decode(value).decode().partition(":")[0]
        except (ValueError, UnicodeDecodeError):
            key = ""
    if key.startswith(("sk_test_", "rk_test_")):
        return
    if not key:
        message = (
            "You did not provide an API key. You need to provide your API key in the"
            " Authorization header, using Bearer auth (e.g. 'Authorization: Bearer"
            " YOUR_SECRET_KEY')."
        )
    elif "_live_" in key:
        message = "This is a simulated Stripe: live keys are refused. Use any sk_test_ key."
    else:
        message = f"Invalid API Key provided: {key[:7]}****"
    raise ApiError(401, message, stored=False)


def _decode(asked: Asked) -> Obj:
    pairs = parse_qsl(asked.query, keep_blank_values=True)
    if not asked.body:
        return nested(pairs)
    if "json" in asked.headers.get("content-type", ""):
        try:
            data: Any = json.loads(asked.body)
        except ValueError:
            raise invalid("Invalid JSON in the request body.") from None
        if not isinstance(data, dict):
            raise invalid("The request body must be a JSON object.")
        return {**nested(pairs), **data}
    try:
        text = asked.body.decode()
    except UnicodeDecodeError:
        raise invalid("The request body must be UTF-8.") from None
    return nested([*pairs, *parse_qsl(text, keep_blank_values=True)])
