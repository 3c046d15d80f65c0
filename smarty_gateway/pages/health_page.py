"""The view of what works and what does not, in words, with what to do."""

from collections.abc import Sequence
from dataclasses import dataclass

from smarty_gateway.languages.language import Language
from smarty_gateway.outputs.output import Health
from smarty_gateway.pages.advice import Advice, gateway_advice, meter_advice, output_advice
from smarty_gateway.pages.moments import age, local, moment
from smarty_gateway.pages.site import ShownMeter, View, render
from smarty_gateway.pages.snapshots import Availability
from smarty_gateway.protocol.rejection import Reason
from smarty_gateway.safe_text import printable


@dataclass(frozen=True, slots=True)
class MeterHealth:
    """What is shown of a meter.

    Attributes:
        state: in a sentence.
        is_well: nothing is wrong, or it is not expected to send.
        facts: label and value.
        advice: for all that is wrong.
    """

    meter: ShownMeter
    state: str
    is_well: bool
    facts: Sequence[tuple[str, str]]
    advice: Sequence[Advice] = ()


def health_page(view: View) -> str:
    """Return meters and outputs with their health."""
    language = view.language
    meters = [_of_meter(view, meter) for meter in view.meters()]
    outputs = [
        (printable(name), output_advice(language, name, state))
        for name, state in view.gateway.outputs.items()
    ]
    general = list(gateway_advice(language, view.gateway, view.no_history))
    faults = [*general, *(advice for _name, advice in outputs if advice is not None)]
    return render(
        "health.html",
        view,
        language.gettext("Meters"),
        here="health",
        summary=_summary(language, meters, len(faults)),
        is_well=not faults and all(meter.is_well for meter in meters),
        meters=meters,
        outputs=outputs,
        general=general,
        gateway_facts=_gateway_facts(view),
    )


def _summary(language: Language, meters: Sequence[MeterHealth], faults: int) -> str:
    ill = sum(not meter.is_well for meter in meters)
    if not ill and not faults:
        return language.gettext("Everything works.")
    if ill:
        text = language.ngettext("{number} meter needs attention.", "{number} meters need attention.", ill)
        return text.format(number=ill)
    return language.gettext("The meters work, but something else needs attention.")


def _of_meter(view: View, meter: ShownMeter) -> MeterHealth:
    _ = view.language.gettext
    now = meter.now
    if now is None:
        return MeterHealth(meter, _state(view, meter), is_well=True, facts=_history_facts(view, meter))
    advice = list(meter_advice(view.language, now))
    is_well = not advice and now.availability is not Availability.SILENT
    facts = [*_meter_facts(view, now.health), *_history_facts(view, meter)]
    return MeterHealth(meter, _state(view, meter), is_well, facts, advice)


def _state(view: View, meter: ShownMeter) -> str:
    _, now = view.language.gettext, meter.now
    if now is None:
        return _("This gateway does not read it; it has a history.")
    if now.availability is Availability.STARTING:
        return _("Waits for the first telegram.")
    if now.availability is Availability.ONLINE:
        return _("Telegrams arrive.")
    if (last := now.health.last_telegram) is None:
        return _("Nothing has arrived since the gateway started.")
    return _("Silent since {time}.").format(time=moment(view, last, seconds=True))


def _meter_facts(view: View, health: Health) -> list[tuple[str, str]]:
    """Return what a meter has sent; counts that are zero tell nothing."""
    _, language = view.language.gettext, view.language
    facts = []
    if health.last_telegram is not None:
        facts.append((_("Last telegram"), age(view, health.last_telegram)))
    names = _reason_names(language)
    counts = (
        (_("Telegrams since the start"), health.telegrams),
        *((names.get(reason, printable(reason)), count) for reason, count in health.rejected.items()),
        (_("Telegrams that did not arrive"), health.counter_gaps),
        (_("Source opened again"), health.reconnects),
        (_("Received twice"), health.duplicates),
        (_("Received on another source"), health.elsewhere),
        (_("Bytes outside of telegrams"), health.noise_bytes),
    )
    return [*facts, *((label, language.number(count, 0)) for label, count in counts if count)]


def _reason_names(language: Language) -> dict[str, str]:
    _ = language.gettext
    return {
        Reason.MALFORMED: _("Rejected: malformed"),
        Reason.SECURITY: _("Rejected: other protection"),
        Reason.NO_KEY: _("Rejected: no key"),
        Reason.AUTHENTICATION: _("Rejected: not verified"),
        Reason.REPLAY: _("Rejected: replayed"),
        Reason.CHECKSUM: _("Rejected: wrong checksum"),
        Reason.PLAINTEXT: _("Rejected: plaintext"),
    }


def _history_facts(view: View, meter: ShownMeter) -> list[tuple[str, str]]:
    if meter.history is None:
        return []
    _, language = view.language.gettext, view.language
    return [(_("History since"), language.day(local(view, meter.history.first).date()))]


def _gateway_facts(view: View) -> list[tuple[str, str]]:
    _ = view.language.gettext
    return [
        (_("Version"), view.gateway.version),
        (_("Running since"), moment(view, view.gateway.started)),
    ]
