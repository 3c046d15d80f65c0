"""`report --mail`: a report as an e-mail, to the server that gateway.yaml names."""

from typing import Final

from smarty_gateway.charts.picture import PictureError, to_png
from smarty_gateway.charts.style import STYLE
from smarty_gateway.commands.terminal import say
from smarty_gateway.config.values import Config, MailConfig
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.outputs.mail import Mail, message_of, send
from smarty_gateway.pages.mail_text import mail_text
from smarty_gateway.pages.report import Report, mail_page
from smarty_gateway.protocol.errors import GatewayError

#: RFC 2392: a Content-ID has the form of an address.
_DOMAIN: Final = "smarty-gateway"


class NoMailServerError(GatewayError):
    """The configuration names no mail server."""

    exit_status = ExitStatus.UNUSABLE_FILE


def mail_server(config: Config | None) -> MailConfig:
    """Return the mail server of a configuration.

    Raises:
        NoMailServerError: it names none.
    """
    mail = None if config is None else config.outputs.mail
    if mail is None:
        raise NoMailServerError(
            "--mail needs a mail server; write below outputs: in gateway.yaml: mail: {server: "
            "smtps://me@mail.example, password_file: mail.password, from: me@mail.example, to: "
            "me@mail.example} (docs/report.md)"
        )
    return mail


def send_report(report: Report, config: MailConfig) -> None:
    """Send a report.

    Raises:
        GatewayError: an extra is missing, or nobody gets it.
    """
    pictures = _pictures(report)
    ids = {svg: f"picture-{number}@{_DOMAIN}" for number, svg in enumerate(pictures, 1)}
    mail = Mail(
        _subject(report),
        mail_text(report),
        mail_page(report, ids),
        {ids[svg]: png for svg, png in pictures.items()},
    )
    refused = send(message_of(mail, config, report.made), config)
    sent = [recipient for recipient in config.to if recipient not in refused]
    say(f"the report is sent to {', '.join(sent)}")
    for recipient, words in refused.items():
        say(f"the mail server {config.host}:{config.port} accepts no mail to {recipient}: {words}")


def _subject(report: Report) -> str:
    """Return the heading with the most important value, as the list of a mail program shows it."""
    facts = [fact for meter in report.meters[:1] for section in meter.sections for fact in section.facts]
    if len(report.meters) > 1 or not facts:
        return report.heading
    label, value = facts[0]
    return f"{report.heading}: {label} {value}".replace("\u00a0", " ")


def _pictures(report: Report) -> dict[str, bytes]:
    """Return the pictures as PNG, by their SVG, which mail programs do not show; none without cairosvg."""
    found = {}
    for svg in (section.svg for meter in report.meters for section in meter.sections if section.svg):
        try:
            # Within a page, a picture has no style of its own.
            found[svg] = to_png(svg.replace(">", f"><style>{STYLE}</style>", 1))
        except PictureError as error:
            say(f"the mail has no picture: {error}")
            break
    return found
