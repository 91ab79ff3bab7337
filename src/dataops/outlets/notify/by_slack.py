"""Slack as a channel: by a bot, which edits and answers in threads, or by a webhook, which can only add messages.

What a bot posts carries its key as metadata, so that a message of which nobody knows whether it arrived is looked for
before it is sent once more. A webhook has nothing of the kind: after a crash in between, its message may come twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC
from http.client import InvalidURL
from typing import TYPE_CHECKING, Any

from dataops.outlets.notify import slack
from dataops.outlets.notify.port import Errand
from dataops.outlets.notify.slack import Payload
from dataops.outlets.refusals import LaterError, RefusedError, Sent

if TYPE_CHECKING:
    from slack_sdk import WebClient, WebhookClient
    from slack_sdk.errors import SlackApiError

EVENT = "dataops_delivery"
UNREADABLE = {
    "invalid_blocks",
    "invalid_attachments",
    "invalid_blocks_format",
    "invalid_payload",
    "invalid_metadata_schema",
}
"""Refusals of the form: the plain form may pass."""
OUT_OF_ORDER = {
    "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission",
    "missing_scope", "org_login_required", "ekm_access_denied", "team_access_not_granted", "access_denied",
    "invalid_token",
}  # fmt: skip
"""Refusals of the connection: nothing of ours passes until somebody mends it."""
HOOK_GONE = {"no_service", "no_service_id", "no_active_hooks", "invalid_token", "no_team", "team_disabled"}
"""The same, in a webhook's words."""
PASSING = {
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
    "rollup_error",
}
GONE = {"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"}
"""The first message cannot be edited any more."""
BUSY, BROKEN = 429, 500
PAGE = 200  # items that Slack is asked for at once
CLOCKS_DIFFER = 300  # seconds, at most


class SlackBot:
    """By a bot token: one message per incident, edited as it changes, and a thread for each step."""

    def __init__(self, client: WebClient, people: Mapping[str, str], *, interactive: bool = False) -> None:
        self._client = client
        self._people = people
        self._interactive = interactive

    def send(self, errand: Errand) -> Sent:
        """Posts a message, or edits the one that opened the thread and answers below it."""
        if errand.edits and errand.opened:
            return self._follow(errand, *errand.opened.split(":"))
        if errand.is_uncertain and (found := self._arrived(errand, self._channel_id(errand.delivery.whom), None)):
            return Sent(remote=found, note="had arrived at an earlier attempt")
        answer = self._in_either_form(
            errand, "chat.postMessage", {"channel": errand.delivery.whom, "metadata": _key(errand)}
        )
        return Sent(remote=f"{answer['channel']}:{answer['ts']}")

    def _follow(self, errand: Errand, channel: str, ts: str) -> Sent:
        note = None
        try:
            self._in_either_form(errand, "chat.update", {"channel": channel, "ts": ts})
        except RefusedError as problem:
            if str(problem) not in GONE:
                raise
            note = f"the first message was not edited: {problem}"
        if errand.story.reply is None:
            return Sent(note=note)
        if errand.is_uncertain and self._arrived(errand, channel, ts):
            return Sent(note="had arrived at an earlier attempt")
        body = {"channel": channel, "thread_ts": ts, "text": slack.reply(errand.story, self._people)}
        self._call("chat.postMessage", body | {"metadata": _key(errand)})
        return Sent(note=note)

    def _in_either_form(self, errand: Errand, method: str, body: Payload) -> Any:  # noqa: ANN401  Slack's answer
        try:
            return self._call(method, body | self._written(errand, plain=False))
        except _UnreadableError:
            pass
        try:
            return self._call(method, body | self._written(errand, plain=True))
        except _UnreadableError as problem:
            raise RefusedError(str(problem)) from None

    def _written(self, errand: Errand, *, plain: bool) -> Payload:
        return slack.message(errand.story, self._people, plain=plain, interactive=self._interactive)

    def _arrived(self, errand: Errand, channel: str | None, thread: str | None) -> str | None:
        """The message of this delivery, if Slack has it; None also where we may not look."""
        tried = errand.delivery.tried_at
        if channel is None or tried is None:
            return None
        since = f"{tried.replace(tzinfo=UTC).timestamp() - CLOCKS_DIFFER:.6f}"
        asked = {"channel": channel, "include_all_metadata": True, "oldest": since} | ({"ts": thread} if thread else {})
        key = errand.delivery.key
        for message in self._all("conversations.replies" if thread else "conversations.history", "messages", asked):
            if ((message.get("metadata") or {}).get("event_payload") or {}).get("key") == key:
                return f"{channel}:{message['ts']}"
        return None

    def _channel_id(self, name: str) -> str | None:
        """Slack's own name of a channel; None where we may not look."""
        for channel in self._all("conversations.list", "channels", {"exclude_archived": True}):
            if f"#{channel.get('name')}" == name:
                return str(channel["id"])
        return None

    def _all(self, method: str, what: str, asked: Payload) -> Iterator[Payload]:
        """Every item of every page; none where the token does not let us look."""
        cursor = ""
        while True:
            page = asked | {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
            try:
                answer = self._call(method, page, by_form=True)
            except (RefusedError, _NotAllowedError):
                return
            yield from answer.get(what) or ()
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    def _call(self, method: str, body: Payload, *, by_form: bool = False) -> Any:  # noqa: ANN401  Slack's answer
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            return self._client.api_call(method, params=body) if by_form else self._client.api_call(method, json=body)
        except SlackApiError as error:
            raise _translated(error) from None
        except (SlackClientError, OSError, ValueError) as error:
            raise LaterError(f"Slack did not answer: {_short(error)}", for_all=True) from None


class SlackWebhook:
    """By a webhook: openings and endings only, each a message of its own, all into the channel that the hook is of."""

    def __init__(self, client: WebhookClient, people: Mapping[str, str]) -> None:
        self._client = client
        self._people = people

    def send(self, errand: Errand) -> Sent:
        """Posts a message."""
        if errand.is_step:
            return Sent(was_needless=True, note="a webhook cannot edit; it tells openings and endings only")
        answer = self._post(slack.message(errand.story, self._people))
        if answer.status_code == 400 and answer.body in UNREADABLE:  # noqa: PLR2004  HTTP: bad request
            answer = self._post(slack.message(errand.story, self._people, plain=True))
        if answer.status_code == 200 and answer.body == "ok":  # noqa: PLR2004  HTTP: done
            return Sent(note="may have come twice" if errand.is_uncertain else None)
        if answer.status_code == BUSY:
            raise LaterError("Slack asks to wait", float(answer.headers.get("Retry-After") or 30), not_taken=True)
        if answer.status_code >= BROKEN:
            raise LaterError(f"Slack answers {answer.status_code}", for_all=True)
        if answer.body in HOOK_GONE:
            raise LaterError(f"Slack refuses the webhook: {answer.body}", for_all=True, not_taken=True)
        raise RefusedError(f"{answer.status_code} {answer.body[:80]}")

    def _post(self, body: Payload) -> Any:  # noqa: ANN401  Slack's answer
        from slack_sdk.errors import SlackClientError

        try:
            return self._client.send_dict(body)
        except OSError as error:
            raise LaterError(f"Slack did not answer: {_short(error)}", for_all=True) from None
        except (SlackClientError, InvalidURL, ValueError):  # whose texts repeat the address, which is the secret
            raise LaterError("the webhook's address is no URL", for_all=True, not_taken=True) from None


class _NotAllowedError(LaterError):
    """The token does not let us do this."""


class _UnreadableError(Exception):
    """Slack does not know a block of the message."""


def _translated(error: SlackApiError) -> Exception:
    answer = error.response
    said = str(answer.get("error") if isinstance(answer.data, dict) else "") or f"status {answer.status_code}"
    if answer.status_code == BUSY or said == "ratelimited":
        return LaterError("Slack asks to wait", float(answer.headers.get("Retry-After") or 30), not_taken=True)
    if answer.status_code >= BROKEN or said in PASSING:
        return LaterError(f"Slack answers {said}", for_all=True)
    if said in OUT_OF_ORDER:
        return _NotAllowedError(f"Slack refuses the connection slack_default: {said}", for_all=True, not_taken=True)
    if said in UNREADABLE:
        return _UnreadableError(said)
    return RefusedError(said)


def _key(errand: Errand) -> Payload:
    return {"event_type": EVENT, "event_payload": {"key": errand.delivery.key}}


def _short(error: Exception) -> str:
    """Its kind alone: an address in its text may hold a secret."""
    return type(error).__name__
