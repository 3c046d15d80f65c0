"""The words of pictures in each language."""

from smarty_gateway.charts.words import Words
from smarty_gateway.languages.language import Language


def words_of(language: Language) -> Words:
    """Return the words of a picture."""
    _ = language.gettext
    return Words(
        import_=_("import"),
        excess=_("excess"),
        export=_("export"),
        over=_("over"),
        unknown=_("unknown"),
        simulated=_("simulated"),
        net_power=_("net power"),
        lowest=_("lowest"),
        highest=_("highest"),
        coverage=_("coverage"),
        item=_("{label}: {value}"),
        shows_power=_("Mean power of each quarter hour in kW: import above zero, export below."),
        shows_energy=_("Energy of each bar in kWh: import above zero, export below."),
        shows_curve=_("Net power in kW: import above zero, export below."),
        weekdays=language.weekdays(),
        months=language.months(),
        number=language.number,
        day=language.day,
        month=language.month,
    )
