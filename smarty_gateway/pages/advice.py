"""What is wrong, in words, and what to do about it: the sentences of the view Meters.

They are shorter than those of `doctor`, which listens to the source itself and knows more; where a cause can
only be found there, the advice is to start it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from smarty_gateway.languages.language import Language
from smarty_gateway.outputs.output import Health
from smarty_gateway.pages.site import NoHistory
from smarty_gateway.pages.snapshots import Availability, GatewayNow, MeterNow
from smarty_gateway.protocol.rejection import Reason
from smarty_gateway.safe_text import printable

_DOCTOR: Final = "smarty-gateway doctor SOURCE"
_OK: Final = "ok"
#: States in which only some readings are taken.
_REFUSED: Final = frozenset({"refused", "failing"})
#: The outputs that connect to one server, with an address and a password.
_CLIENTS: Final = frozenset({"mqtt", "influxdb", "domoticz", "forward"})


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing that is wrong.

    Attributes:
        text: what was observed.
        remedy: what to do.
        how: in which file, or with which command.
        command: to type behind that, or nothing.
        in_app: stands for both in the app of Home Assistant, which has no files and commands to type; empty
            where its tabs Configuration and Log say enough.
    """

    text: str
    remedy: str
    how: str = ""
    command: str = ""
    in_app: str = ""


def meter_advice(language: Language, meter: MeterNow) -> Iterator[Advice]:
    """Yield what is wrong with a meter at this moment."""
    yield from _of_availability(language, meter)
    if meter.health.is_downgraded:
        yield _downgraded(language)
    found = _of_reasons(language)
    for reason in meter.troubles:
        if reason in found and not (meter.health.is_downgraded and reason == Reason.PLAINTEXT):
            yield found[reason]


def _of_availability(language: Language, meter: MeterNow) -> Iterator[Advice]:
    _, health = language.gettext, meter.health
    if meter.availability is Availability.ONLINE or not meter.is_expected:
        return
    if not health.is_connected:
        yield Advice(
            _("The source of this meter is not open."),
            _(
                "Check the cable, the power of the adapter or bridge, and its name or address in the "
                "configuration. The gateway tries again by itself."
            ),
            _(
                "The doctor says what the system answers (SOURCE is the source of this meter in "
                "gateway.yaml):"
            ),
            _DOCTOR,
        )
    elif meter.availability is Availability.STARTING:
        return
    elif _is_noisy(health):
        yield _for_doctor(
            language,
            _("Bytes come from the source, but no telegram is in them."),
            _("The cable, or the speed of the port, is probably wrong."),
        )
    elif not meter.troubles:
        yield _for_doctor(
            language,
            _("The source is open, but the meter sends nothing."),
            _("Check both ends of the cable, and whether the grid operator has switched the P1 port on."),
        )


def _for_doctor(language: Language, text: str, remedy: str) -> Advice:
    """Return advice on what only the doctor can find out, who needs the port for itself."""
    _ = language.gettext
    how = _("Stop the gateway, and ask the doctor (SOURCE is the source of this meter in gateway.yaml):")
    return Advice(text, remedy, how, _DOCTOR)


def _for_operator(language: Language, text: str, remedy: str) -> Advice:
    """Return advice on plaintext, which the grid operator may have switched on."""
    _ = language.gettext
    return Advice(
        text,
        remedy,
        _(
            "If the grid operator has switched the encryption off, remove the meter's entry from keys.yaml "
            "and `encrypted: true` from gateway.yaml."
        ),
        in_app=_(
            "If the grid operator has switched the encryption off, empty the field key of this meter in the "
            "tab Configuration of this app."
        ),
    )


def _is_noisy(health: Health) -> bool:
    """True if there is nothing but bytes."""
    return health.noise_bytes > 0 and not health.telegrams and not health.rejected


def _downgraded(language: Language) -> Advice:
    _ = language.gettext
    return _for_operator(
        language,
        _("This meter must send encrypted telegrams, and now sends plaintext. The gateway refuses it."),
        _(
            "Anyone could have written it. Ask the grid operator whether it switched the encryption off. If "
            "not, find out who feeds this port."
        ),
    )


def _of_reasons(language: Language) -> Mapping[str, Advice]:
    """Return what each reason for a rejection means."""
    _ = language.gettext
    return {
        Reason.MALFORMED: _for_doctor(
            language,
            _("Some frames are cut short or damaged."),
            _(
                "Look for a bridge with a small buffer, a loose plug, or another program that reads the same "
                "port."
            ),
        ),
        Reason.SECURITY: Advice(
            _("Some frames are protected in another way than those of a P1 port, and cannot be read."),
            _("Tell the grid operator and the authors of this program which meter it is."),
        ),
        Reason.NO_KEY: Advice(
            _("The meter encrypts, and the gateway has no key for it."),
            _("Ask the grid operator for the P1 encryption key of the meter, 32 hex digits."),
            _("Write it into keys.yaml, which the gateway reads again by itself. This checks the file:"),
            "smarty-gateway check",
            _("Write it into the field key of this meter in the tab Configuration of this app."),
        ),
        Reason.AUTHENTICATION: _for_doctor(
            language,
            _("Some frames do not verify with the key of this meter."),
            _(
                "If only a few fail, the cable damages them. If all fail, the key has a typo, belongs to "
                "another meter, or was changed by the grid operator."
            ),
        ),
        Reason.REPLAY: Advice(
            _("Frames come that came before: their frame counter did not rise."),
            _("Look for a bridge that repeats itself, or two programs that feed one port."),
            _("Only if the grid operator has reset or replaced the meter, accept its new counter:"),
            "smarty-gateway reset-counter METER",
        ),
        Reason.CHECKSUM: _for_doctor(
            language,
            _("Some telegrams arrive damaged: their checksum is wrong."),
            _(
                "Use a shorter cable (3 m is safe) without a splitter, keep it away from power lines, and "
                "try another USB port."
            ),
        ),
        Reason.PLAINTEXT: _for_operator(
            language,
            _("Plaintext comes with the identity of a meter that must be encrypted. The gateway refuses it."),
            _("Find out who feeds this port."),
        ),
    }


def output_advice(language: Language, name: str, state: str) -> Advice | None:
    """Return what is wrong with an output; None if it works.

    Args:
        language: of the reader.
        name: of the output.
        state: in one word, or the reason for which it does not work.
    """
    _, shown = language.gettext, printable(name)
    if state == _OK:
        return None
    if state == "offline" and name not in _CLIENTS:
        return Advice(
            _("The output {name} does not reach all that it serves. Readings are lost meanwhile.").format(
                name=shown
            ),
            _(
                "The gateway tries again by itself. Its log says why: a port that is taken, a receiver that "
                "does not run, or a full disk, for example."
            ),
        )
    if state == "offline":
        return Advice(
            _("The output {name} is not connected. What cannot be sent is kept or dropped.").format(
                name=shown
            ),
            _(
                "Check its address and password in the configuration, and that the other side runs. The "
                "gateway tries again by itself, and its log says what the other side answered."
            ),
        )
    if state in _REFUSED:
        return Advice(
            _("The output {name} is connected, but the other side refuses readings.").format(name=shown),
            _(
                "The log says which, and what the other side answered. Correct it there or in the "
                "configuration; the gateway tries again by itself."
            ),
        )
    if state == "slow":
        return Advice(
            _("The output {name} is slower than the meters, and readings were dropped.").format(name=shown),
            _("Look at what takes the readings, or send fewer: set a longer interval in the configuration."),
        )
    return Advice(
        _("The output {name} does not work: {state}").format(name=shown, state=printable(state)),
        _(
            "If another program has its port, end that program or choose another port in the "
            "configuration. The log of the gateway says more."
        ),
    )


def gateway_advice(language: Language, gateway: GatewayNow, no_history: NoHistory | None) -> Iterator[Advice]:
    """Yield what is wrong with the gateway itself.

    Args:
        language: of the reader.
        gateway: at this moment.
        no_history: why there is no history to show, if there is none.
    """
    _ = language.gettext
    if not gateway.is_alive:
        yield Advice(
            _("A part of the gateway has not answered for a while."),
            _("Look into its log, and restart the gateway."),
            _("A service of systemd is restarted with:"),
            "systemctl restart smarty-gateway",
        )
    if not gateway.counters_kept:
        yield Advice(
            _("Frame counters are not kept over a restart, so that old frames could be replayed after one."),
            _("Make the state folder writable for the gateway, and check that its disk is not full."),
            _("This says what is wrong:"),
            "smarty-gateway check",
        )
    if not gateway.history_kept:
        yield Advice(
            _("New quarter hours are only in memory, and are lost if the gateway ends now."),
            _(
                "Its log says why: usually the disk is full, the state folder cannot be written, or another "
                "program has locked the file. If this sentence is still here a few minutes after that is "
                "put right, restart the gateway."
            ),
            _("A service of systemd is restarted with:"),
            "systemctl restart smarty-gateway",
        )
    if no_history in {NoHistory.LOCKED, NoHistory.UNREADABLE}:
        yield history_advice(language, no_history)


def history_advice(language: Language, why: NoHistory) -> Advice:
    """Return why there is no history to show, and what to do."""
    _ = language.gettext
    match why:
        case NoHistory.OFF:
            return Advice(
                _("This gateway keeps no history."),
                _("The configuration says `history: false`, or names recordings only."),
                _("This command reads a recording into the history:"),
                "smarty-gateway history import FILE",
            )
        case NoHistory.NOT_YET:
            return Advice(
                _("There is no history yet."), _("The first quarter hour is there soon after it is over.")
            )
        case NoHistory.LOCKED:
            return Advice(
                _("The history cannot be read now: another program has locked its file."),
                _("Wait until that program has ended, such as a backup or a database browser, or end it."),
            )
        case NoHistory.UNREADABLE:
            return Advice(
                _("The history cannot be read: its file is damaged, or cannot be opened."),
                _("Readings go on. A restart of the gateway saves what can be read of a damaged file."),
                _("This says what is wrong:"),
                "smarty-gateway history",
            )
