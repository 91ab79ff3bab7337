"""Mail as a channel: one mail to each receiver, so that who refuses it stops nobody else."""

from __future__ import annotations

import smtplib
from collections.abc import Callable

from dataops.outlets.notify import mail
from dataops.outlets.notify.port import Errand
from dataops.outlets.refusals import LaterError, RefusedError, Sent

PERMANENT = 500  # SMTP answers from here on are for good
OF_THE_LETTER = "refuses the mail"


class Mail:
    """By an SMTP server. `connect` gives an authorised client; `leave` says whom one asks to get no more of these."""

    def __init__(self, connect: Callable[[], smtplib.SMTP], sender: str, leave: Callable[[Errand], str | None]) -> None:
        self._connect = connect
        self._sender = sender
        self._leave = leave
        self._client: smtplib.SMTP | None = None

    def send(self, errand: Errand) -> Sent:
        """Sends one mail; one client serves a whole pass, as long as it answers."""
        letter = mail.message(errand.story, errand.delivery, self._sender, self._leave(errand), errand.opened)
        try:
            self._open().send_message(letter, to_addrs=[errand.delivery.whom])
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise _by_code(code, said, for_all=False) from None
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            raise _by_code(error.smtp_code, error.smtp_error, for_all=False) from None
        except smtplib.SMTPResponseException as error:  # greeting, login: of the connection, not of the mail
            self._forget()
            raise LaterError(f"the mail server answers {error.smtp_code}", for_all=True) from None
        except smtplib.SMTPNotSupportedError as error:
            raise RefusedError(str(error)) from None
        except (smtplib.SMTPException, OSError) as error:
            self._forget()
            raise LaterError(f"the mail server did not answer: {type(error).__name__}", for_all=True) from None
        return Sent(remote=str(letter["Message-ID"]))

    def _open(self) -> smtplib.SMTP:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _forget(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _by_code(code: int, said: bytes | str, *, for_all: bool) -> Exception:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    why = f"the mail server {OF_THE_LETTER}: {code} {mail.line(text)[:120]}"
    return RefusedError(why) if code >= PERMANENT else LaterError(why, for_all=for_all, not_taken=True)
